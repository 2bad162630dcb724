"""Causal self-attention on channels of which half come from the position before."""

import keras
from keras import ops

from primer_tf.layers.causal_depthwise_conv_1d import extend_history
from primer_tf.layers.causal_self_attention import CausalSelfAttention
from primer_tf.layers.decoder_context import DecoderContext
from primer_tf.types import Cache, Shape, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class TokenShiftAttention(CausalSelfAttention):
    """Self-attention after a token shift, which is said to replace Primer's convolutions.

    The first half of the channels of `x`, `C // 2`, are taken from the position before, and are
    zero at the first position. This adds no weights. The layer is called with the same arguments as
    `CausalSelfAttention`. The shift stays within a segment.

    Args:
        num_heads: Number of heads, `H`, at least 1.
        head_dim: Channels of a head, `D`, at least 1. Defaults to the channels of `x` divided by
            `num_heads`.
        **kwargs: Arguments of `CausalSelfAttention`.

    Raises:
        ValueError: As for `CausalSelfAttention`.

    Example:

    >>> import numpy as np
    >>> from primer_tf.layers import TokenShiftAttention
    >>> layer = TokenShiftAttention(num_heads=2)
    >>> tuple(layer(np.ones((2, 5, 8), "float32")).shape)
    (2, 5, 8)
    """

    def build(self, input_shape: Shape) -> None:
        """Creates the projections for `C` channels."""
        super().build(input_shape)
        self._shifted = input_shape[-1] // 2

    def build_cache(self, batch_size: int | Tensor, max_length: int | Tensor) -> Cache:
        """Returns an empty cache: keys and values, and the inputs that the shift takes.

        The inputs are kept by position, after zeros for the position before the first, `[B, 1 + S,
        C // 2]`. Decoding may therefore continue at any position already seen.
        """
        history = ops.zeros((batch_size, max_length + 1, self._shifted), dtype=self.compute_dtype)
        return {**super().build_cache(batch_size, max_length), "history": history}

    def mix(
        self, x: Tensor, context: DecoderContext, training: bool | None = None
    ) -> tuple[Tensor, Cache]:
        """Shifts half of the channels, and attends."""
        if context.padding_mask is not None:
            x = x * ops.cast(context.padding_mask, x.dtype)[:, :, None]
        x = ops.cast(x, self.compute_dtype)
        moved, kept = x[..., : self._shifted], x[..., self._shifted :]
        history = None
        if context.cache is None:
            before = ops.zeros_like(moved[:, :1])
        else:
            before, history = extend_history(
                context.cache["history"], moved, context.cache_update_index, kernel_size=2
            )
        shifted = ops.concatenate([ops.cast(before, x.dtype), moved[:, :-1]], axis=1)
        if context.segment_ids is not None:
            ids = context.segment_ids
            same = ops.cast(ops.equal(ids[:, 1:], ids[:, :-1]), x.dtype)
            shifted = shifted * ops.pad(same, ((0, 0), (1, 0)))[:, :, None]
        y, cache = super().mix(ops.concatenate([shifted, kept], axis=-1), context, training)
        return y, cache if cache is None else {**cache, "history": history}
