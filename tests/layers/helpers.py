"""What the layer tests share: randomized weights, their names, gradients on any backend."""

import keras
import numpy as np
from keras import ops


def randomize(layer, seed=0, scale=0.3):
    """Gives every weight a random value, so that no zero or one hides a mistake."""
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        value = ops.convert_to_numpy(weight.value)
        if np.issubdtype(value.dtype, np.floating):
            weight.assign(value + scale * rng.standard_normal(value.shape))


def numpy(x):
    return ops.convert_to_numpy(x)


def attention_weights(layer):
    """The weights of a `MultiDConvHeadAttention` as the NumPy reference wants them."""
    weights = {name: numpy(dense.kernel) for name, dense in layer.projections.items()}
    if layer.shared_query_key:
        weights["query"] = numpy(layer.query_dense.kernel)
    for name, conv in layer.convolutions.items():
        weights[f"{name}_conv"] = [numpy(tap) for tap in conv.taps]
    weights["attention_output"] = numpy(layer.output_dense.kernel)
    return weights


def feed_forward_weights(layer):
    """The weights of a `FeedForward` as the NumPy reference wants them."""
    denses = {"intermediate": layer.intermediate_dense, "output": layer.output_dense}
    if layer.gated:
        denses["linear"] = layer.linear_dense
    weights = {name: numpy(dense.kernel) for name, dense in denses.items()}
    weights |= {f"{name}_bias": numpy(dense.bias) for name, dense in denses.items()}
    return weights


def value_and_gradients(function, variables):
    """Returns a scalar function's value and its gradients, as NumPy arrays, on any backend."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = function()
        gradients = tape.gradient(value, [v.value for v in variables])
        return numpy(value), [numpy(g) for g in gradients]
    if backend == "jax":
        import jax

        def stateless(values):
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return function()

        value, gradients = jax.value_and_grad(stateless)([v.value for v in variables])
        return numpy(value), [numpy(g) for g in gradients]
    import torch

    value = function()
    gradients = torch.autograd.grad(value, [v.value for v in variables])
    return numpy(value), [numpy(g) for g in gradients]
