"""Gradients against central differences, in float64."""

import keras
import numpy as np
import pytest
from keras import ops
from layers.helpers import numpy, randomize, value_and_gradients

from primer_tf.layers import (
    CausalDepthwiseConv1D,
    DecoderStack,
    FeedForward,
    MultiDConvHeadAttention,
    PrimerNormalization,
    T5RelativePositionBias,
)

SHAPE = (2, 5, 6)
X = np.random.default_rng(3).standard_normal(SHAPE)
DTYPE = {"dtype": "float64"}


def stack(**kwargs):
    return DecoderStack(
        [
            MultiDConvHeadAttention(2, shared_query_key=True, **DTYPE),
            FeedForward(7, gated=True, **DTYPE),
        ],
        num_blocks=2,
        normalization="primer",
        placement="alternating",
        **DTYPE,
        **kwargs,
    )


LAYERS = {
    "conv": lambda: CausalDepthwiseConv1D(3, **DTYPE),
    "primer_norm": lambda: PrimerNormalization(**DTYPE),
    "attention": lambda: MultiDConvHeadAttention(2, **DTYPE),
    "attention_shared": lambda: MultiDConvHeadAttention(2, shared_query_key=True, **DTYPE),
    "feed_forward": lambda: FeedForward(7, **DTYPE),
    "feed_forward_gated": lambda: FeedForward(7, activation="swish", gated=True, **DTYPE),
    "stack": stack,
    "stack_checkpointed": lambda: stack(gradient_checkpointing=True),
}


def check(function, variables):
    """Compares every variable's gradient with central differences at a few of its entries."""
    _, gradients = value_and_gradients(function, variables)
    rng = np.random.default_rng(4)
    for variable, gradient in zip(variables, gradients, strict=True):
        value = numpy(variable.value).copy()
        for flat in rng.choice(value.size, min(3, value.size), replace=False):
            index = np.unravel_index(flat, value.shape)
            sides = []
            for step in (1e-5, -1e-5):
                moved = value.copy()
                moved[index] += step
                variable.assign(moved)
                sides.append(float(numpy(function())))
            variable.assign(value)
            expected = (sides[0] - sides[1]) / 2e-5
            assert gradient[index] == pytest.approx(expected, rel=1e-4, abs=1e-6), variable.path


@pytest.mark.parametrize("name", LAYERS)
def test_weights(name):
    layer = LAYERS[name]()
    layer.build(SHAPE)
    randomize(layer)
    coefficients = np.random.default_rng(5).standard_normal(SHAPE)

    def function():
        return ops.sum(layer(ops.convert_to_tensor(X)) * coefficients)

    check(function, layer.trainable_weights)


@pytest.mark.parametrize("name", ["conv", "primer_norm", "attention_shared", "stack"])
def test_inputs(name):
    layer = LAYERS[name]()
    layer.build(SHAPE)
    randomize(layer)
    coefficients = np.random.default_rng(5).standard_normal(SHAPE)
    x = keras.Variable(X, dtype="float64")

    def function():
        return ops.sum(layer(x.value if keras.backend.backend() != "jax" else ops.convert_to_tensor(x)) * coefficients)

    check(function, [x])


def test_position_bias():
    layer = T5RelativePositionBias(2, num_buckets=8, max_distance=12, **DTYPE)
    layer.build()
    coefficients = np.random.default_rng(6).standard_normal((2, 15, 15))

    def function():
        return ops.sum(layer(query_length=15, key_length=15) * coefficients)

    check(function, layer.trainable_weights)
