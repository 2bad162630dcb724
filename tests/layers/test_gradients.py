"""Gradients equal central differences of the NumPy reference in float64."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.layers import (
    CausalDepthwiseConv1D,
    DecoderStack,
    EvolvedConvolution,
    FeedForward,
    MultiDConvHeadAttention,
    PrimerNormalization,
    SwitchFeedForward,
    SynthesizerAttention,
    T5RelativePositionBias,
)
from primer_tf.layers.normalization import make_normalization
from tests.layers import numpy_reference as reference
from tests.layers.helpers import numpy, randomize, value_and_gradients
from tests.layers.reference_forward import forward

SHAPE = (2, 5, 6)
X = np.random.default_rng(3).standard_normal(SHAPE).astype("float32")
COEFFICIENTS = np.random.default_rng(5).standard_normal(SHAPE).astype("float32")


def stack(**kwargs):
    return DecoderStack(
        [MultiDConvHeadAttention(2, shared_query_key=True), FeedForward(7, gated=True)],
        num_blocks=2,
        normalization="primer",
        placement="alternating",
        **kwargs,
    )


LAYERS = {
    "conv": lambda: CausalDepthwiseConv1D(3),
    "layer_norm": lambda: make_normalization("layer"),
    "primer_norm": lambda: PrimerNormalization(),
    "attention": lambda: MultiDConvHeadAttention(2),
    "attention_shared": lambda: MultiDConvHeadAttention(2, shared_query_key=True),
    "feed_forward": lambda: FeedForward(7),
    "feed_forward_gated": lambda: FeedForward(7, activation="swish", gated=True),
    "synthesizer_attention": lambda: SynthesizerAttention(2, max_length=6),
    "evolved_convolution": lambda: EvolvedConvolution(),
    "switch_feed_forward": lambda: SwitchFeedForward(7, num_experts=3, eval_capacity_factor=0.5),
    "stack": stack,
    "stack_checkpointed": lambda: stack(gradient_checkpointing=True),
}


def check(gradients, arrays, function):
    """Compares gradients with central differences of `function(arrays)` at a few entries each."""
    rng = np.random.default_rng(4)
    for name, gradient in gradients.items():
        value = arrays[name]
        tolerance = 1e-4 * max(1.0, float(np.abs(gradient).max()))
        for flat in rng.choice(value.size, min(3, value.size), replace=False):
            index = np.unravel_index(flat, value.shape)
            sides = []
            for step in (1e-6, -1e-6):
                moved = value.copy()
                moved[index] += step
                sides.append(function({**arrays, name: moved}))
            expected = (sides[0] - sides[1]) / 2e-6
            assert gradient[index] == pytest.approx(expected, rel=1e-4, abs=tolerance), name


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_weights_and_inputs(name):
    layer = LAYERS[name]()
    layer.build(SHAPE)
    randomize(layer)
    x = keras.Variable(X, name="x")
    variables = [*layer.trainable_weights, x]

    def loss():
        return ops.sum(layer(ops.convert_to_tensor(x)) * ops.convert_to_tensor(COEFFICIENTS))

    _, values = value_and_gradients(loss, variables)
    arrays = {v.path: numpy(v.value).astype("float64") for v in variables}

    def reference_loss(arrays):
        y = forward(layer, arrays[x.path], read=lambda variable: arrays[variable.path])
        return (y * COEFFICIENTS).sum()

    check(dict(zip(arrays, values, strict=True)), arrays, reference_loss)


def test_gradient_of_position_bias():
    layer = T5RelativePositionBias(2, num_buckets=8, max_distance=12)
    layer.build()
    coefficients = np.random.default_rng(6).standard_normal((2, 15, 15)).astype("float32")

    def loss():
        return ops.sum(layer(query=15) * ops.convert_to_tensor(coefficients))

    _, (gradient,) = value_and_gradients(loss, layer.trainable_weights)

    def reference_loss(arrays):
        bias = reference.relative_position_bias(arrays["table"], 15, 15, max_distance=12)
        return (bias * coefficients).sum()

    table = numpy(layer.embeddings.value).astype("float64")
    check({"table": gradient}, {"table": table}, reference_loss)
