"""Attention by query blocks equals attention with whole matrices."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.layers import MultiDConvHeadAttention, T5RelativePositionBias, causal_attention
from primer_tf.layers.t5_relative_position_bias import skew_distances, unskew_distances
from tests.layers.helpers import numpy, randomize, value_and_gradients
from tests.layers.reference_forward import attention

BATCH, LENGTH, CHANNELS, HEADS = 2, 11, 12, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((BATCH, LENGTH, CHANNELS)).astype("float32")
BIAS = RNG.standard_normal((HEADS, 6)).astype("float32")
COEFFICIENTS = RNG.standard_normal((BATCH, LENGTH, CHANNELS)).astype("float32")
MASKS = {
    "none": {},
    "left": {"padding_mask": (np.arange(LENGTH) >= [[0], [4]]).astype("int32")},
    "right": {"padding_mask": (np.arange(LENGTH) < [[LENGTH], [4]]).astype("int32")},
    "segments": {"segment_ids": np.array([[0] * 4 + [1] * 7, [0] * 6 + [2] * 5], "int32")},
}


def matrix_by_definition(bias, offset=0):
    positions = np.arange(LENGTH)
    distances = np.clip(offset + positions[:, None] - positions, 0, bias.shape[1] - 1)
    return bias[:, distances]


@pytest.fixture(params=[1, 3, 4], autouse=True)
def query_blocks(request, monkeypatch):
    """Blocks of one query, up to the limit of 8 blocks; four, the last one not full; two."""
    monkeypatch.setattr(causal_attention, "QUERY_BLOCK", request.param)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shared_query_key", [False, True])
def test_against_numpy_and_the_gradients_of_whole_matrices(mask, shared_query_key):
    layer = MultiDConvHeadAttention(HEADS, shared_query_key=shared_query_key)
    layer.build(X.shape)
    randomize(layer)
    real = np.ones((BATCH, LENGTH), bool)
    if "padding_mask" in MASKS[mask]:
        real = MASKS[mask]["padding_mask"].astype(bool)
    variables = [*layer.trainable_weights, keras.Variable(X), keras.Variable(BIAS)]

    def output(whole_matrix):
        x, bias = (1.0 * variable for variable in variables[-2:])
        bias = skew_distances(bias, LENGTH, LENGTH) if whole_matrix else bias
        return layer(x, position_bias=bias, **MASKS[mask])

    expected = attention(layer, X, bias=matrix_by_definition(BIAS), **MASKS[mask])
    np.testing.assert_allclose(numpy(output(False))[real], expected[real], rtol=1e-5, atol=1e-5)

    def gradients(whole_matrix):
        coefficients = COEFFICIENTS * real[..., None]
        return value_and_gradients(
            lambda: ops.sum(output(whole_matrix) * ops.convert_to_tensor(coefficients)), variables
        )[1]

    blocks, whole = gradients(False), gradients(True)
    for a, b in zip(blocks, whole, strict=True):
        assert np.abs(b).max() > 1e-3
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_longer_distances_have_the_last_bias():
    layer = T5RelativePositionBias(HEADS, num_buckets=8, max_distance=9)
    layer.build()
    bias = numpy(layer.by_distance())
    assert bias.shape == (HEADS, 10)
    matrix = numpy(layer(query=LENGTH, offset=5))
    expected = matrix_by_definition(bias, offset=5)
    np.testing.assert_allclose(matrix, expected, rtol=1e-6)
    one_query = numpy(layer(query=1, key=LENGTH, offset=5))
    np.testing.assert_allclose(one_query, expected[:, :1], rtol=1e-6)


def test_unskewing_is_the_transpose_of_skewing():
    matrix = RNG.standard_normal((HEADS, 4, LENGTH)).astype("float32")
    unskewed = numpy(unskew_distances(ops.convert_to_tensor(matrix), 5, BIAS.shape[1]))
    skewed = numpy(skew_distances(ops.convert_to_tensor(BIAS), 4, LENGTH, 5))
    assert (unskewed * BIAS).sum() == pytest.approx((matrix * skewed).sum(), rel=1e-4)
