"""Causal self-attention with depthwise convolutions after its projections."""

import keras
from keras import ops

from primer_tf.layers.causal_depthwise_conv_1d import CausalDepthwiseConv1D, extend_history
from primer_tf.layers.causal_self_attention import (
    CausalSelfAttention,
)
from primer_tf.layers.shape_checks import check_positive


@keras.saving.register_keras_serializable(package="primer_tf")
class MultiDConvHeadAttention(CausalSelfAttention):
    """Multi-DConv-Head Attention, MDHA (Primer, section 4.1).

    `CausalSelfAttention` whose projections are each followed by a causal depthwise convolution over
    the positions, one kernel for each channel of every head.

    Args:
        num_heads: Number of heads, `H`.
        head_dim: Channels of a head, `D`. Default: the channels of `x` divided by `num_heads`.
        kernel_size: Width of the convolutions.
        **kwargs: Arguments of `CausalSelfAttention`.

    Call arguments:
        x: `[B, T, C]`.
        position_bias, padding_mask, segment_ids, cache, cache_update_index, context: As those of
            `CausalSelfAttention`; convolutions stay inside a segment too.

    Returns:
        `[B, T, C]`, and with a cache also the updated cache.

    Raises:
        ValueError: `kernel_size` is below 1; else as `CausalSelfAttention`.

    Example:

    >>> MultiDConvHeadAttention(num_heads=8)(keras.random.normal((2, 5, 512))).shape
    """

    def __init__(self, num_heads, head_dim=None, kernel_size=3, **kwargs):
        super().__init__(num_heads, head_dim, **kwargs)
        check_positive(self, "kernel_size", kernel_size)
        self.kernel_size = kernel_size

    def build_streams(self, input_shape):
        """Creates a convolution for each projection."""
        self.convolutions = {}
        for name in self.projections:
            conv = CausalDepthwiseConv1D(
                self.kernel_size, dtype=self.dtype_policy, name=f"{name}_conv"
            )
            conv.build(input_shape)
            self.convolutions[name] = conv

    def build_cache(self, batch_size, max_length):
        """Returns an empty cache for `max_length` positions.

        Keys and values are kept after the convolutions. The inputs of the convolutions are kept
        too, indexed by position plus `kernel_size - 1`, so that the positions before the first are
        there, as zeros: decoding may go on from any position already seen.
        """
        channels = self.num_heads * self._head_dim
        shape = (batch_size, max_length + self.kernel_size - 1, channels)
        history = {name: ops.zeros(shape, dtype=self.compute_dtype) for name in self.convolutions}
        return {**super().build_cache(batch_size, max_length), "history": history}

    def transform_streams(self, streams, context):
        """Convolves the projections, after their history where there is a cache."""
        if context.cache is None:
            ids = context.segment_ids
            return {n: self.convolutions[n](x, segment_ids=ids) for n, x in streams.items()}, None
        histories, convolved = {}, {}
        for name, stream in streams.items():
            before, histories[name] = extend_history(
                context.cache["history"][name],
                stream,
                context.cache_update_index,
                self.kernel_size,
            )
            convolved[name] = self.convolutions[name](stream, history=before)
        return convolved, {**context.cache, "history": histories}

    def get_config(self):
        """Returns the constructor arguments."""
        return {**super().get_config(), "kernel_size": self.kernel_size}
