"""The contract between a decoder and its layers."""

import inspect
from typing import Any

import keras

from primer_tf.layers.decoder_context import DecoderContext
from primer_tf.layers.layer import Layer
from primer_tf.layers.shape_checks import check_rank
from primer_tf.layers.standalone_layer import StandaloneLayer
from primer_tf.types import Cache, Tensor


class DecoderLayer(Layer):
    """A layer from `[B, T, C]` to `[B, T, C]` that a decoder calls with a `DecoderContext`.

    A decoder takes any Keras layer and calls it on `x` alone. A layer that needs the context of the
    call derives from this class or from `PositionMixingLayer`.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:

    >>> import numpy as np
    >>> from primer_tf.layers import DecoderLayer, ResidualSublayer
    >>> class Doubling(DecoderLayer):
    ...     def call(self, x, context=None):
    ...         return 2 * x
    >>> sublayer = ResidualSublayer(Doubling())
    >>> tuple(sublayer(np.ones((2, 5, 8), "float32")).shape)
    (2, 5, 8)
    """

    mixes_positions: bool = False
    """Whether the output at a position depends on others, so that decoding needs a cache."""
    is_whole_block: bool = False
    """Whether it normalizes and adds its input itself, so that a decoder does not wrap it."""

    def decoding_weights(self) -> Any:
        """Returns weights in the form that a decoding loop reads fastest, or `None`.

        They are made once, before the loop, and are part of the context of every call in it.
        """
        return None

    def compute_output_spec(
        self, x: Tensor, *args: Any, context: DecoderContext | None = None, **kwargs: Any
    ) -> Any:
        """Returns the spec of `[B, T, C]`, and of the cache if there is one."""
        given = inspect.signature(self.call).bind(x, *args, **kwargs).arguments
        output = keras.KerasTensor(x.shape, dtype=self.compute_dtype)
        cache = context.cache if context is not None else given.get("cache")
        return output if cache is None else (output, cache)


class PositionMixingLayer(StandaloneLayer, DecoderLayer):
    """A `DecoderLayer` whose output at a position depends on earlier positions.

    Subclasses compute their output in `mix`, and make the cache for decoding in `build_cache`.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        position_bias: Bias of the attention scores. `[H, R]` has a bias for each distance from
            query to key, and distances from `R` on have the last one. `[H, T, S]` has a bias for
            each pair of positions, which costs more time and memory. Defaults to no bias.
        padding_mask: `[B, T]`, true at real tokens, on whichever side the others are. It cannot be
            used with `cache`. Defaults to the mask that Keras keeps with `x`, or else all real.
        segment_ids: `[B, T]` integers. A position depends on its own segment only. They cannot be
            used with `cache`. Defaults to one segment.
        cache: The cache that `build_cache` or an earlier call returned. With it, `x` has the
            positions `cache_update_index` to `cache_update_index + T - 1`. Defaults to `None`.
        cache_update_index: Position of the first token of `x`, an integer, a scalar or `[B]`.
            Defaults to 0.
        context: A `DecoderContext`, in place of the five arguments above. Defaults to `None`.

    Returns:
        `[B, T, C]`, and with a cache also the updated cache.

    Raises:
        ValueError: `x` has the wrong rank.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from primer_tf.layers import PositionMixingLayer
    >>> class RunningSum(PositionMixingLayer):
    ...     def mix(self, x, context, training=None):
    ...         return keras.ops.cumsum(x, axis=1), None
    >>> y = RunningSum()(np.ones((1, 3, 2), "float32"))
    >>> keras.ops.convert_to_numpy(y)[0, :, 0].tolist()
    [1.0, 2.0, 3.0]
    """

    mixes_positions = True
    num_heads: int | None = None
    """Number of attention heads, or `None` for a layer without a position bias."""

    def call(
        self,
        x: Tensor,
        position_bias: Tensor | None = None,
        padding_mask: Tensor | None = None,
        segment_ids: Tensor | None = None,
        cache: Cache = None,
        cache_update_index: int | Tensor = 0,
        context: DecoderContext | None = None,
        training: bool | None = None,
    ) -> Tensor | tuple[Tensor, Cache]:
        """Applies the layer."""
        check_rank(self, "x", x.shape, 3, "[batch, time, channels]")
        if context is None:
            biases = {} if position_bias is None else {self.num_heads: position_bias}
            context = DecoderContext(biases, padding_mask, segment_ids, cache, cache_update_index)
        y, cache = self.mix(x, context, training)
        return y if context.cache is None else (y, cache)

    def mix(
        self, x: Tensor, context: DecoderContext, training: bool | None = None
    ) -> tuple[Tensor, Cache]:
        """Computes the output and the updated cache.

        Args:
            x: `[B, T, C]`.
            context: A `DecoderContext`.
            training: Whether the call is part of training. Defaults to `None`, which means no.

        Returns:
            `(y, cache)`: `[B, T, C]`, and the updated cache, or `None` without a cache.
        """
        raise NotImplementedError

    def build_cache(self, batch_size: int | Tensor, max_length: int | Tensor) -> Cache:
        """Returns an empty cache for `max_length` positions, a nest of `[B, ...]` tensors."""
        raise NotImplementedError
