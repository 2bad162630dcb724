"""Forward passes equal the independent NumPy reference."""

import keras
import numpy as np
import pytest

from primer_tf.layers import (
    CausalDepthwiseConv1D,
    CausalSelfAttention,
    CausalSeparableConv1D,
    DecoderStack,
    EvolvedConvolution,
    FeedForward,
    MultiDConvHeadAttention,
    SynthesizerAttention,
    T5RelativePositionBias,
    TokenShiftAttention,
    gelu_tanh,
    squared_relu,
)
from primer_tf.layers.normalization import make_normalization
from tests.layers import numpy_reference as reference
from tests.layers.helpers import numpy, randomize
from tests.layers.reference_forward import attention, evolved_convolution, forward

BATCH, LENGTH, CHANNELS, HEADS = 2, 7, 12, 3
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
SEGMENTS = np.array([[0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 2, 2, 2]], "int32")
RIGHT_PADDED = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]], "int32")
LEFT_PADDED = RIGHT_PADDED[:, ::-1].copy()
MASKS = {
    "none": {},
    "right": {"padding_mask": RIGHT_PADDED},
    "left": {"padding_mask": LEFT_PADDED},
    "segments": {"segment_ids": SEGMENTS},
}


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((BATCH, LENGTH, CHANNELS)).astype("float32")


def test_squared_relu_by_hand():
    np.testing.assert_allclose(
        numpy(squared_relu(np.array([-2.0, 0.0, 0.5, 3.0]))), [0, 0, 0.25, 9]
    )


def test_squared_relu_by_name_in_a_keras_layer(x):
    layer = keras.layers.Dense(CHANNELS, squared_relu, kernel_initializer="identity")
    np.testing.assert_allclose(numpy(layer(x)), reference.squared_relu(x), **TOLERANCE)
    revived = keras.layers.Dense.from_config(layer.get_config())
    assert revived.activation is squared_relu


def test_gelu_tanh(x):
    np.testing.assert_allclose(
        numpy(gelu_tanh(x)), reference.ACTIVATIONS["gelu_tanh"](x), **TOLERANCE
    )


def test_conv_by_hand():
    """The published initial values are 0.5 for the position and 0.5 / 3 for each earlier one."""
    ones = np.ones((1, 4, 1), "float32")
    expected = [0.5, 0.5 + 0.5 / 3, 0.5 + 1.0 / 3, 0.5 + 1.0 / 3]
    np.testing.assert_allclose(numpy(CausalDepthwiseConv1D(3)(ones))[0, :, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("width", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("segment_ids", [None, SEGMENTS])
def test_conv(x, width, segment_ids):
    layer = CausalDepthwiseConv1D(width)
    layer.build(x.shape)
    randomize(layer)
    expected = reference.causal_depthwise_conv(x, [numpy(t) for t in layer.taps], segment_ids)
    np.testing.assert_allclose(numpy(layer(x, segment_ids=segment_ids)), expected, **TOLERANCE)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX always compiles")
def test_conv_compiled_by_xla(x):
    """With XLA, the layer computes the sum in another way."""
    import tensorflow as tf

    layer = CausalDepthwiseConv1D(3)
    layer.build(x.shape)
    randomize(layer)
    compiled = tf.function(layer.__call__, jit_compile=True)
    expected = reference.causal_depthwise_conv(x, [numpy(t) for t in layer.taps])
    np.testing.assert_allclose(numpy(compiled(x)), expected, rtol=1e-5, atol=1e-6)
    graph = compiled.get_concrete_function(x).graph
    assert not any("Depthwise" in operation.type for operation in graph.get_operations())


@pytest.mark.parametrize("kind", ["layer", "primer"])
@pytest.mark.parametrize("deviation", [1.0, 1e-3])  # the square of 1e-3 is the epsilon
def test_normalizations_about_the_mean(x, kind, deviation):
    layer = make_normalization(kind)
    layer.build(x.shape)
    randomize(layer)
    x = x * deviation
    np.testing.assert_allclose(numpy(layer(x)), forward(layer, x), **TOLERANCE)


def test_normalizations_about_the_mean_differ_at_large_means(x):
    x = x.astype("float32") + 1000.0
    layer, primer = (numpy(make_normalization(kind)(x)) for kind in ("layer", "primer"))
    exact = reference.layer_norm(x.astype("float64"), 1.0, 0.0)
    np.testing.assert_allclose(layer, exact, atol=1e-3)
    assert np.abs(primer - exact).max() > 2 * np.abs(layer - exact).max()


def test_buckets_by_hand():
    """Exact up to 15, then 16 buckets to 128 on a log scale: 16 -> 16, 32 -> 21, 127 -> 31."""
    layer = T5RelativePositionBias(num_heads=2)
    distances = np.array([-3, 0, 1, 15, 16, 20, 32, 64, 127, 128, 5000], "int32")
    expected = [0, 0, 1, 15, 16, 17, 21, 26, 31, 31, 31]
    np.testing.assert_array_equal(numpy(layer.bucket(distances)), expected)
    assert [reference.relative_position_bucket(d) for d in distances] == expected


@pytest.mark.parametrize("lengths", [(1, 1, 0), (5, 5, 0), (1, 300, 170), (40, 200, 160)])
def test_relative_position_bias(lengths):
    query_length, key_length, offset = lengths
    layer = T5RelativePositionBias(num_heads=HEADS)
    layer.build()
    randomize(layer)
    actual = layer(query=query_length, key=key_length, offset=offset)
    expected = reference.relative_position_bias(
        numpy(layer.embeddings), query_length, key_length, offset
    )
    np.testing.assert_allclose(numpy(actual), expected, **TOLERANCE)


@pytest.mark.parametrize("shared_query_key", [False, True])
@pytest.mark.parametrize("kernel_size", [None, 1, 3])
@pytest.mark.parametrize("mask", MASKS)
def test_attention(x, shared_query_key, kernel_size, mask):
    options = {"head_dim": 5, "shared_query_key": shared_query_key}
    if kernel_size is None:
        layer = CausalSelfAttention(HEADS, **options)
    else:
        layer = MultiDConvHeadAttention(HEADS, kernel_size=kernel_size, **options)
    layer.build(x.shape)
    randomize(layer)
    bias = np.random.default_rng(2).standard_normal((HEADS, LENGTH, LENGTH)).astype("float32")
    actual = numpy(layer(x, position_bias=bias, **MASKS[mask]))
    expected = attention(layer, x, bias=bias, **MASKS[mask])
    assert_equal_where_real(actual, expected, mask)


@pytest.mark.parametrize("stream", ["query", "key", "value"])
def test_convolution_of_one_projection(x, stream):
    layer = MultiDConvHeadAttention(HEADS, convolved=[stream])
    layer.build(x.shape)
    randomize(layer)
    assert list(layer.convolutions) == [stream]
    np.testing.assert_allclose(numpy(layer(x)), attention(layer, x), **TOLERANCE)


def test_unknown_projections_are_refused():
    with pytest.raises(ValueError, match="no projections query"):
        MultiDConvHeadAttention(HEADS, shared_query_key=True, convolved=["query"])


@pytest.mark.parametrize("mask", MASKS)
def test_token_shift_attention(x, mask):
    layer = TokenShiftAttention(HEADS, head_dim=5)
    layer.build(x.shape)
    randomize(layer)
    actual, expected = numpy(layer(x, **MASKS[mask])), attention(layer, x, **MASKS[mask])
    assert_equal_where_real(actual, expected, mask)


@pytest.mark.parametrize("max_length", [LENGTH, 20])
@pytest.mark.parametrize("mask", MASKS)
def test_synthesizer_attention(x, max_length, mask):
    layer = SynthesizerAttention(HEADS, head_dim=5, max_length=max_length)
    layer.build(x.shape)
    randomize(layer)
    bias = np.random.default_rng(2).standard_normal((HEADS, LENGTH, LENGTH)).astype("float32")
    actual = numpy(layer(x, position_bias=bias, **MASKS[mask]))
    expected = attention(layer, x, bias=bias, **MASKS[mask])
    assert_equal_where_real(actual, expected, mask)


def test_synthesizer_attention_by_hand():
    """With zero queries only the learned scores count: softmax([log 3, 0]) = [3/4, 1/4]."""
    layer = SynthesizerAttention(num_heads=1, head_dim=1, max_length=4)
    layer.build((1, 2, 1))
    for weight in layer.weights:
        weight.assign(np.ones(weight.shape))
    layer.projections["query"].kernel.assign([[0.0]])
    scores = np.zeros((4, 1, 4), "float32")
    scores[1, 0, 0] = np.log(3.0)
    layer.synthetic_scores.assign(scores)
    y = numpy(layer(np.array([[[8.0], [16.0]]], "float32")))
    np.testing.assert_allclose(y[0, :, 0], [8.0, 0.75 * 8 + 0.25 * 16], rtol=1e-6)


def test_separable_conv(x):
    layer = CausalSeparableConv1D(filters=5, kernel_size=4)
    layer.build(x.shape)
    randomize(layer)
    np.testing.assert_allclose(numpy(layer(x)), forward(layer, x), **TOLERANCE)


@pytest.mark.parametrize("mask", MASKS)
def test_evolved_convolution(x, mask):
    layer = EvolvedConvolution()
    layer.build(x.shape)
    randomize(layer)
    actual = numpy(layer(x, **MASKS[mask]))
    assert_equal_where_real(actual, evolved_convolution(layer, x, **MASKS[mask]), mask)


def assert_equal_where_real(actual, expected, mask):
    real = MASKS[mask].get("padding_mask", np.ones((BATCH, LENGTH))).astype(bool)
    np.testing.assert_allclose(actual[real], expected[real], **TOLERANCE)


@pytest.mark.parametrize("activation", ["squared_relu", "relu", "swish", "gelu_tanh"])
@pytest.mark.parametrize("gated", [False, True])
def test_feed_forward(x, activation, gated):
    layer = FeedForward(10, activation=activation, gated=gated)
    layer.build(x.shape)
    randomize(layer)
    expected = forward(layer, x)
    np.testing.assert_allclose(numpy(layer(x)), expected, **TOLERANCE)


@pytest.mark.parametrize(
    "normalization, placement, shared",
    [("layer", "pre", False), ("rms", "post", False), ("primer", "alternating", True)],
)
def test_decoder_stack(x, normalization, placement, shared):
    stack = DecoderStack(
        [MultiDConvHeadAttention(HEADS, shared_query_key=shared), FeedForward(10)],
        num_blocks=2,
        normalization=normalization,
        placement=placement,
    )
    stack.build(x.shape)
    randomize(stack)
    np.testing.assert_allclose(numpy(stack(x)), forward(stack, x), rtol=1e-4, atol=1e-5)


def test_evolved_transformer_block(x):
    """In a stack with two numbers of heads, each number has its own table of position biases."""
    layers = [
        CausalSelfAttention(6, 2),
        EvolvedConvolution(),
        CausalSelfAttention(3, 4),
        FeedForward(10, "swish"),
    ]
    stack = DecoderStack(layers, num_blocks=2)
    stack.build(x.shape)
    randomize(stack)
    assert [table.num_heads for table in stack.position_bias_layers] == [3, 6]
    np.testing.assert_allclose(numpy(stack(x)), forward(stack, x), rtol=1e-4, atol=1e-5)
