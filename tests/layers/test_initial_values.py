"""Initial weights have the standard deviations of Mesh TensorFlow's."""

import numpy as np
import pytest

from primer_tf.layers import (
    EvolvedConvolution,
    FeedForward,
    MultiDConvHeadAttention,
    SwitchFeedForward,
    SynthesizerAttention,
)
from tests.layers.helpers import numpy

CHANNELS, HEADS, SIZE, WIDTH = 64, 4, 32, 96
INNER = HEADS * SIZE
# The standard deviation of a normal distribution cut at two, as in `truncated_normal`.
CUT = 0.8796
# Glorot's uniform distribution, whose fans treat the first axis as positions of a convolution.
GLOROT = (2 / (100 * HEADS + 100 * 100)) ** 0.5


@pytest.mark.parametrize(
    "layer, expected",
    [
        (
            MultiDConvHeadAttention(HEADS, SIZE, shared_query_key=True, initializer_scale=0.1),
            {
                "query_key/kernel": (CHANNELS * SIZE) ** -0.5,
                "query/kernel": CUT * (0.1 / INNER) ** 0.5,
                "value/kernel": CHANNELS**-0.5,
                "attention_output/kernel": INNER**-0.5,
            },
        ),
        (
            FeedForward(WIDTH, gated=True, initializer_scale=0.1),
            {
                "intermediate/kernel": CUT * (0.1 / CHANNELS) ** 0.5,
                "linear/kernel": CUT * (0.1 / CHANNELS) ** 0.5,
                "output/kernel": CUT * (0.1 / WIDTH) ** 0.5,
            },
        ),
        (
            SwitchFeedForward(WIDTH, num_experts=16, gated=True, initializer_scale=0.1),
            {
                "router_kernel": CUT * (0.1 / CHANNELS) ** 0.5,
                "intermediate_kernel": CUT * (0.1 / CHANNELS) ** 0.5,
                "linear_kernel": CUT * (0.1 / CHANNELS) ** 0.5,
                "output_kernel": CUT * (0.1 / WIDTH) ** 0.5,
            },
        ),
        (
            SynthesizerAttention(HEADS, SIZE, max_length=100),
            {"query/kernel": (CHANNELS * SIZE) ** -0.5, "synthetic_scores": GLOROT},
        ),
        (
            EvolvedConvolution(),
            {
                "left/pointwise/kernel": CUT * CHANNELS**-0.5,
                "right/pointwise/kernel": CUT * CHANNELS**-0.5,
                "output/pointwise/kernel": CUT * (2 * CHANNELS) ** -0.5,
            },
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_spread(layer, expected):
    layer.build((None, None, CHANNELS))
    weights = {v.path.split(f"{layer.name}/")[-1]: numpy(v.value) for v in layer.weights}
    for name, spread in expected.items():
        assert weights[name].std() == pytest.approx(spread, rel=0.1), name
        assert abs(weights[name].mean()) < 0.1 * spread


def test_the_taps_of_a_separable_convolution_are_independent():
    layer = EvolvedConvolution()
    layer.build((None, None, 2000))
    taps = np.stack([numpy(tap.value) for tap in layer.left_conv.depthwise.taps])
    assert taps.std() == pytest.approx(CUT * 11**-0.5, rel=0.05)
    assert np.abs(np.corrcoef(taps) - np.eye(11)).max() < 0.2
    assert not numpy(layer.left_conv.depthwise_bias).any()
