"""One block of a decoder: a list of residual sublayers."""

from collections.abc import Iterable
from typing import Any

import keras

from primer_tf.layers.decoder_context import DecoderContext
from primer_tf.layers.decoder_layer import DecoderLayer, PositionMixingLayer
from primer_tf.layers.shape_checks import check_rank
from primer_tf.layers.standalone_layer import StandaloneLayer
from primer_tf.types import Cache, Config, Shape, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class DecoderBlock(StandaloneLayer, DecoderLayer):
    """Residual sublayers, applied in order.

    The block of a Transformer is attention and feed-forward. Other decoders have longer lists.

    Args:
        sublayers: `ResidualSublayer` layers, or other `PositionMixingLayer`s.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        context: A `DecoderContext` whose cache and decoding weights are tuples with an entry for
            each sublayer. Defaults to a context of the padding mask alone.
        padding_mask: `[B, T]`, true at real tokens, if there is no context. Defaults to the mask
            that Keras keeps with `x`, or else all real.

    Returns:
        `[B, T, C]`, and with a cache also the updated cache.

    Raises:
        ValueError: `x` has the wrong rank.

    Example:

    >>> import numpy as np
    >>> from primer_tf.layers import DecoderBlock, FeedForward, ResidualSublayer
    >>> block = DecoderBlock([ResidualSublayer(FeedForward(16))])
    >>> tuple(block(np.ones((2, 5, 8), "float32")).shape)
    (2, 5, 8)
    """

    mixes_positions = True

    def __init__(self, sublayers: Iterable[PositionMixingLayer], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sublayers = list(sublayers)

    def build(self, input_shape: Shape) -> None:
        """Builds every sublayer for `[B, T, C]`."""
        for sublayer in self.sublayers:
            if not sublayer.built:
                sublayer.build(input_shape)

    def build_cache(self, batch_size: int | Tensor, max_length: int | Tensor) -> Cache:
        """Returns empty caches, one for each sublayer."""
        return tuple(s.build_cache(batch_size, max_length) for s in self.sublayers)

    def decoding_weights(self) -> tuple:
        """Returns the decoding weights of each sublayer."""
        return tuple(sublayer.decoding_weights() for sublayer in self.sublayers)

    def call(
        self,
        x: Tensor,
        context: DecoderContext | None = None,
        padding_mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor | tuple[Tensor, Cache]:
        """Applies the sublayers in order."""
        check_rank(self, "x", x.shape, 3, "[batch, time, channels]")
        context = context or DecoderContext(padding_mask=padding_mask)
        updated: list[Cache] = []
        for index, sublayer in enumerate(self.sublayers):
            x = sublayer(x, context=context.for_child(index))
            if context.cache is not None:
                x, cache = x
                updated.append(cache)
        return x if context.cache is None else (x, tuple(updated))

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "sublayers": [keras.saving.serialize_keras_object(s) for s in self.sublayers],
        }

    @classmethod
    def from_config(cls, config: Config) -> "DecoderBlock":
        """Returns the block that `get_config` described."""
        config = dict(config)
        config["sublayers"] = [
            keras.saving.deserialize_keras_object(s) for s in config["sublayers"]
        ]
        return cls(**config)
