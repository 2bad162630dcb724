"""Causal self-attention with depthwise convolutions after its projections."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from primer_tf.layers.causal_depthwise_conv_1d import CausalDepthwiseConv1D, extend_history
from primer_tf.layers.causal_self_attention import (
    CausalSelfAttention,
)
from primer_tf.layers.decoder_context import DecoderContext
from primer_tf.layers.shape_checks import check_positive
from primer_tf.types import Cache, Config, Shape, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class MultiDConvHeadAttention(CausalSelfAttention):
    """Multi-DConv-Head Attention, MDHA (Primer, section 4.1).

    `CausalSelfAttention` in which a causal depthwise convolution over the positions follows each
    projection, with a kernel for each channel of every head. It is called with the same arguments.
    Convolutions stay within a segment.

    Args:
        num_heads: Number of heads, `H`, at least 1.
        head_dim: Channels of a head, `D`, at least 1. Defaults to the channels of `x` divided by
            `num_heads`.
        kernel_size: Width of the convolutions, at least 1. Defaults to 3.
        convolved: Names of the projections that are convolved: `"query"`, `"key"` and `"value"`, or
            with `shared_query_key` `"query_key"` and `"value"`. Defaults to all.
        **kwargs: Arguments of `CausalSelfAttention`.

    Raises:
        ValueError: `kernel_size` is below 1, `convolved` names no projection, or as for
            `CausalSelfAttention`.

    Example:

    >>> import numpy as np
    >>> from primer_tf.layers import MultiDConvHeadAttention
    >>> layer = MultiDConvHeadAttention(num_heads=2)
    >>> tuple(layer(np.ones((2, 5, 8), "float32")).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        num_heads: int,
        head_dim: int | None = None,
        kernel_size: int = 3,
        convolved: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_heads, head_dim, **kwargs)
        check_positive(self, "kernel_size", kernel_size)
        self.kernel_size = kernel_size
        names = ("query_key",) if self.shared_query_key else ("query", "key")
        if unknown := sorted({*(convolved or ())} - {*names, "value"}):
            raise ValueError(
                f"{type(self).__name__} has no projections {', '.join(unknown)} in `convolved`; "
                f"there are {', '.join((*names, 'value'))}."
            )
        self.convolved = None if convolved is None else list(convolved)

    def build_streams(self, input_shape: Shape) -> None:
        """Creates a convolution for each projection that has one."""
        self.convolutions: dict[str, CausalDepthwiseConv1D] = {}
        for name in self.projections if self.convolved is None else self.convolved:
            conv = CausalDepthwiseConv1D(
                self.kernel_size, dtype=self.dtype_policy, name=f"{name}_conv"
            )
            conv.build(input_shape)
            self.convolutions[name] = conv

    def build_cache(self, batch_size: int | Tensor, max_length: int | Tensor) -> Cache:
        """Returns an empty cache for `max_length` positions.

        Keys and values are kept after the convolutions. The inputs of the convolutions are kept as
        well, by position, after zeros for the positions before the first. Decoding may therefore
        continue at any position already seen.
        """
        channels = self.num_heads * self._head_dim
        shape = (batch_size, max_length + self.kernel_size - 1, channels)
        history = {name: ops.zeros(shape, dtype=self.compute_dtype) for name in self.convolutions}
        return {**super().build_cache(batch_size, max_length), "history": history}

    def transform_streams(
        self, streams: dict[str, Tensor], context: DecoderContext
    ) -> tuple[dict[str, Tensor], Cache]:
        """Convolves the projections, with a cache after their earlier inputs."""
        if context.cache is None:
            ids = context.segment_ids
            convolved = {n: c(streams[n], segment_ids=ids) for n, c in self.convolutions.items()}
            return {**streams, **convolved}, None
        histories, convolved = {}, {}
        for name, convolution in self.convolutions.items():
            stream = streams[name]
            before, histories[name] = extend_history(
                context.cache["history"][name],
                stream,
                context.cache_update_index,
                self.kernel_size,
            )
            convolved[name] = convolution(stream, history=before)
        return {**streams, **convolved}, {**context.cache, "history": histories}

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "convolved": self.convolved,
        }
