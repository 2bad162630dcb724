"""Wrong arguments and shapes raise errors that name them."""

import numpy as np
import pytest

from primer_tf.layers import (
    CausalDepthwiseConv1D,
    CausalSeparableConv1D,
    DecoderStack,
    EvolvedConvolution,
    FeedForward,
    MultiDConvHeadAttention,
    ResidualSublayer,
    SwitchFeedForward,
    SynthesizerAttention,
    T5RelativePositionBias,
)

X = np.ones((2, 5, 10), "float32")


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: CausalDepthwiseConv1D(0), "`kernel_size` to be an integer of at least 1"),
        (lambda: CausalDepthwiseConv1D(2.5), "received 2.5"),
        (lambda: CausalDepthwiseConv1D(2**31), r"`kernel_size` .* below 2\*\*31"),
        (lambda: T5RelativePositionBias(2, max_distance=2**31), r"`max_distance` .* below 2"),
        (lambda: CausalDepthwiseConv1D(3)(X[0]), r"expects `x` of shape \[batch, time, channels\]"),
        (lambda: MultiDConvHeadAttention(0), "`num_heads`"),
        (lambda: MultiDConvHeadAttention(2, kernel_size=0), "`kernel_size`"),
        (lambda: MultiDConvHeadAttention(3)(X), "cannot split 10 channels into 3 heads"),
        (lambda: MultiDConvHeadAttention(2)(X[0]), r"received shape \(5, 10\)"),
        (lambda: CausalSeparableConv1D(0, 3), "`filters`"),
        (lambda: CausalSeparableConv1D(4, 0), "`kernel_size`"),
        (lambda: CausalSeparableConv1D(4, 3, "cubed_relu"), "Unknown activation 'cubed_relu'"),
        (lambda: EvolvedConvolution()(X[0]), r"received shape \(5, 10\)"),
        (lambda: EvolvedConvolution()(X[:, :, :1]), "at least 2 channels; received 1"),
        (lambda: SwitchFeedForward(8, num_experts=0), "`num_experts`"),
        (lambda: SwitchFeedForward(8, 2, capacity_factor=0.0), "`capacity_factor` above 0"),
        (lambda: SwitchFeedForward(8, 2, group_size=0), "`group_size`"),
        (lambda: SwitchFeedForward(8, 2, activation="cubed_relu"), "Unknown activation"),
        (lambda: SwitchFeedForward(8, 2)(X[0]), r"received shape \(5, 10\)"),
        (lambda: SynthesizerAttention(2, max_length=0), "`max_length`"),
        (lambda: SynthesizerAttention(2, max_length=4)(X), "scores of 4 positions; received 5"),
        (lambda: FeedForward(8, activation="cubed_relu"), "Unknown activation 'cubed_relu'"),
        (lambda: FeedForward(-1), "`intermediate_dim`"),
        (lambda: FeedForward(8)(X[0]), "expects `x`"),
        (lambda: ResidualSublayer(FeedForward(8), normalization="batch"), "'batch'. Known ones"),
        (lambda: ResidualSublayer(FeedForward(8), placement="before"), "'before'"),
        (lambda: DecoderStack([], 2), "at least one layer"),
        (lambda: DecoderStack([FeedForward(8)], 0), "`num_blocks`"),
        (lambda: DecoderStack([FeedForward(8)], 1, placement="sometimes"), "'sometimes'"),
        (lambda: T5RelativePositionBias(2, num_buckets=32, max_distance=16), "`max_distance`"),
    ],
)
def test_message(make, message):
    with pytest.raises(ValueError, match=message):
        make()
