"""Helpers of the layer tests: random weights, NumPy values, gradients on any backend."""

import keras
import numpy as np
from keras import ops


def randomize(layer, seed=0, scale=0.3):
    """Adds random numbers to every weight, so that zeros and ones do not hide a mistake."""
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        value = ops.convert_to_numpy(weight.value)
        if np.issubdtype(value.dtype, np.floating):
            weight.assign(value + scale * rng.standard_normal(value.shape))


def numpy(x):
    if keras.backend.backend() == "torch" and hasattr(x, "detach"):
        x = x.detach()
    return ops.convert_to_numpy(x)


def compiled(function):
    """Compiles with XLA, except on PyTorch."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def value_and_gradients(function, variables):
    """Returns the value and gradients of a scalar function as NumPy arrays, on any backend."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function  # as in `fit`
        def compiled():
            with tf.GradientTape() as tape:
                value = function()
            return value, tape.gradient(value, [v.value for v in variables])

        value, gradients = compiled()
        return numpy(value), [numpy(g) for g in gradients]
    if backend == "jax":
        import jax

        def stateless(values):
            mapping = list(zip(variables, values, strict=True))
            with keras.StatelessScope(mapping, collect_losses=True):
                return function()

        value, gradients = jax.value_and_grad(stateless)([v.value for v in variables])
        return numpy(value), [numpy(g) for g in gradients]
    import torch

    value = function()
    gradients = torch.autograd.grad(value, [v.value for v in variables])
    return numpy(value), [numpy(g) for g in gradients]
