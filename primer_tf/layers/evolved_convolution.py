"""The convolution layer of the Evolved Transformer's decoder."""

from typing import Any

import keras
from keras import ops

from primer_tf.layers.causal_depthwise_conv_1d import extend_history
from primer_tf.layers.causal_separable_conv_1d import CausalSeparableConv1D
from primer_tf.layers.decoder_context import DecoderContext
from primer_tf.layers.decoder_layer import PositionMixingLayer
from primer_tf.layers.normalization import make_normalization
from primer_tf.layers.position_cache import add_positions
from primer_tf.layers.shape_checks import check_rank
from primer_tf.types import Cache, Config, Shape, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class EvolvedConvolution(PositionMixingLayer):
    """Two separable convolutions side by side, and a third on their sum (So et al. 2019, fig. 3).

    `h = norm(relu(conv_11(x)) + conv_7(x))`, `y = conv_7(h)`, all causal. The left branch has `2 C`
    channels. The right one has `C / 2` channels and is padded with zeros. `norm` is layer
    normalization. Source: `DecoderConvolutionalLayer` of
    `mesh_tensorflow.transformer.evolved_transformer`.

    As in the source, no convolution sees a start token: the first position of a sequence is zero in
    the input of all three, as are the positions before it.

    Args:
        dropout: Rate of dropout after each convolution, from 0 to 1. Defaults to 0.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        padding_mask: `[B, T]`, true at real tokens. The others are taken for zeros. Defaults to all
            real.
        segment_ids: `[B, T]` integers, as in `PositionMixingLayer`. Defaults to one segment.
        cache: The cache of earlier positions, as in `PositionMixingLayer`. Defaults to `None`.
        cache_update_index: Position of the first token of `x`, an integer, a scalar or `[B]`.
            Defaults to 0.
        context: A `DecoderContext`, in place of the arguments above. Defaults to `None`.

    Returns:
        `[B, T, C]`, and with `cache` also the updated cache.

    Raises:
        ValueError: `x` has the wrong rank, or fewer than 2 channels.

    Example:

    >>> import numpy as np
    >>> from primer_tf.layers import EvolvedConvolution
    >>> layer = EvolvedConvolution()
    >>> tuple(layer(np.ones((2, 5, 8), "float32")).shape)
    (2, 5, 8)
    """

    def __init__(self, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dropout = dropout

    def build(self, input_shape: Shape) -> None:
        """Creates the convolutions for `C` channels."""
        check_rank(self, "x", input_shape, 3, "[batch, time, channels]")
        channels = input_shape[-1]
        if channels < 2:
            raise ValueError(f"EvolvedConvolution needs at least 2 channels; received {channels}.")
        self.hidden_dim = 2 * channels
        hidden_shape = (*input_shape[:-1], self.hidden_dim)

        def conv(name: str, shape: Shape, *args: Any) -> CausalSeparableConv1D:
            layer = CausalSeparableConv1D(*args, dtype=self.dtype_policy, name=name)
            layer.build(shape)
            return layer

        self.left_conv = conv("left", input_shape, self.hidden_dim, 11, "relu")
        self.right_conv = conv("right", input_shape, channels // 2, 7)
        self.norm = make_normalization("layer", dtype=self.dtype_policy, name="norm")
        self.norm.build(hidden_shape)
        self.output_conv = conv("output", hidden_shape, channels, 7)
        self.dropout_layer = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)

    def build_cache(self, batch_size: int | Tensor, max_length: int | Tensor) -> Cache:
        """Returns an empty cache for `max_length` positions.

        The inputs of the convolutions are kept by position, after zeros for the positions before
        the first. Decoding may therefore continue at any position already seen.
        """

        def zeros(conv: CausalSeparableConv1D, channels: int) -> Tensor:
            shape = (batch_size, max_length + conv.kernel_size - 1, channels)
            return ops.zeros(shape, dtype=self.compute_dtype)

        return {
            "input": zeros(self.left_conv, self.hidden_dim // 2),
            "hidden": zeros(self.output_conv, self.hidden_dim),
        }

    def mix(
        self, x: Tensor, context: DecoderContext, training: bool | None = None
    ) -> tuple[Tensor, Cache]:
        """Convolves every position of `x` with earlier ones."""
        cache, index = context.cache, context.cache_update_index
        segment_ids = context.segment_ids
        seen = self._seen(ops.shape(x)[1], index, context.padding_mask, segment_ids)
        seen = ops.cast(seen, x.dtype)[:, :, None]
        x = x * seen
        before, cache = self._before(cache, "input", x, self.left_conv, index)
        left = self.left_conv(x, segment_ids=segment_ids, history=before)
        if before is not None:
            before = before[:, self.left_conv.kernel_size - self.right_conv.kernel_size :]
        right = self.right_conv(x, segment_ids=segment_ids, history=before)
        left = self.dropout_layer(left, training=training)
        right = self.dropout_layer(right, training=training)
        missing = self.hidden_dim - right.shape[-1]
        hidden = self.norm(left + ops.pad(right, ((0, 0), (0, 0), (0, missing)))) * seen
        before, cache = self._before(cache, "hidden", hidden, self.output_conv, index)
        y = self.output_conv(hidden, segment_ids=segment_ids, history=before)
        return self.dropout_layer(y, training=training), cache

    def _seen(
        self,
        length: int | Tensor,
        offset: int | Tensor,
        padding_mask: Tensor | None,
        segment_ids: Tensor | None,
    ) -> Tensor:
        """Returns where a token is neither padding nor the first of its sequence, `[B or 1, T]`."""
        seen = ops.greater(add_positions(offset, length), 0)
        if padding_mask is not None:
            real = ops.cast(padding_mask, "bool")
            real_before = ops.pad(real[:, :-1], ((0, 0), (1, 0)))
            seen = ops.logical_and(seen, ops.logical_and(real, real_before))
        if segment_ids is not None:
            same = ops.equal(segment_ids[:, 1:], segment_ids[:, :-1])
            seen = ops.logical_and(seen, ops.pad(same, ((0, 0), (1, 0))))
        return seen

    def _before(
        self, cache: Cache, name: str, x: Tensor, conv: CausalSeparableConv1D, index: int | Tensor
    ) -> tuple[Tensor | None, Cache]:
        """Returns the inputs of `conv` just before `x`, and the cache with `x` in it."""
        if cache is None:
            return None, None
        before, history = extend_history(cache[name], x, index, conv.kernel_size)
        return before, {**cache, name: history}

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {**super().get_config(), "dropout": self.dropout}
