"""Normalization, dropout and residual around one layer."""

from typing import Any

import keras

from primer_tf.layers.decoder_context import DecoderContext
from primer_tf.layers.decoder_layer import DecoderLayer, PositionMixingLayer
from primer_tf.layers.normalization import make_normalization
from primer_tf.layers.shape_checks import check_rank
from primer_tf.types import Cache, Config, Shape, Tensor

PLACEMENTS = ("pre", "post")


@keras.saving.register_keras_serializable(package="primer_tf")
class ResidualSublayer(PositionMixingLayer):
    """Wraps a layer as `x + dropout(layer(norm(x)))` or `x + dropout(norm(layer(x)))`.

    "pre" normalizes the layer's input, "post" its output before the addition; Primer uses both
    (Primer, appendix "Pre and post normalization"; T5's `LayerStack.sublayers_per_layer`).

    A `DecoderLayer` is called with the context of the call, any other layer on `x` alone.

    Args:
        layer: The wrapped `keras.layers.Layer`, from `[B, T, C]` to `[B, T, C]`.
        normalization: `"layer"`, `"rms"` or `"primer"`. Defaults to `"layer"`.
        placement: `"pre"` or `"post"`. Defaults to `"pre"`.
        dropout: Rate of dropout before the addition, from 0 to 1. Defaults to 0.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        position_bias: `[H, R]` or `[H, T, S]`, as in `PositionMixingLayer`. Defaults to no bias.
        padding_mask: `[B, T]`, true at real tokens. Defaults to all real.
        segment_ids: `[B, T]` integers, as in `PositionMixingLayer`. Defaults to one segment.
        cache: The cache of `sublayer`, as in `PositionMixingLayer`. Defaults to `None`.
        cache_update_index: Position of the first token of `x`, an integer, a scalar or `[B]`.
            Defaults to 0.
        context: A `DecoderContext`, in place of the arguments above. Defaults to `None`.

    Returns:
        `[B, T, C]`, and with a cache also the updated cache.

    Raises:
        ValueError: The normalization or placement is unknown, or `x` has the wrong rank.

    Example:

    >>> import numpy as np
    >>> from primer_tf.layers import FeedForward, ResidualSublayer
    >>> layer = ResidualSublayer(FeedForward(16), normalization="rms")
    >>> tuple(layer(np.ones((2, 5, 8), "float32")).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        normalization: str = "layer",
        placement: str = "pre",
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if placement not in PLACEMENTS:
            raise ValueError(
                f"ResidualSublayer expects `placement` to be one of {', '.join(PLACEMENTS)}; "
                f"received {placement!r}."
            )
        self.layer = layer
        self.mixes_positions = isinstance(layer, DecoderLayer) and layer.mixes_positions
        self.num_heads = layer.num_heads if self.mixes_positions else None
        self.normalization = normalization
        self.placement = placement
        self.dropout = dropout
        self.norm = make_normalization(normalization, dtype=self.dtype_policy, name="norm")
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def decoding_weights(self) -> Any:
        """Returns the decoding weights of the wrapped layer, or `None` if it has none."""
        return self.layer.decoding_weights() if isinstance(self.layer, DecoderLayer) else None

    def build(self, input_shape: Shape) -> None:
        """Builds the layer and its normalization for `C` channels."""
        check_rank(self, "x", input_shape, 3, "[batch, time, channels]")
        self.norm.build(input_shape)
        if not self.layer.built:
            self.layer.build(input_shape)

    def build_cache(self, batch_size: int | Tensor, max_length: int | Tensor) -> Cache:
        """Returns an empty cache of the wrapped layer, `()` if it needs none."""
        return self.layer.build_cache(batch_size, max_length) if self.mixes_positions else ()

    def mix(
        self, x: Tensor, context: DecoderContext, training: bool | None = None
    ) -> tuple[Tensor, Cache]:
        """Applies the wrapped layer and adds its result to `x`."""
        y = self.norm(x) if self.placement == "pre" else x
        cache = context.cache
        if not isinstance(self.layer, DecoderLayer):
            y = self.layer(y)
        elif self.mixes_positions and cache is not None:
            y, cache = self.layer(y, context=context)
        else:
            y = self.layer(y, context=context)
        if self.placement == "post":
            y = self.norm(y)
        return x + self.dropout_layer(y, training=training), cache

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "layer": keras.saving.serialize_keras_object(self.layer),
            "normalization": self.normalization,
            "placement": self.placement,
            "dropout": self.dropout,
        }

    @classmethod
    def from_config(cls, config: Config) -> "ResidualSublayer":
        """Returns the layer that `get_config` described."""
        config = dict(config)
        config["layer"] = keras.saving.deserialize_keras_object(config["layer"])
        return cls(**config)
