"""Normalization, dropout and residual around one layer."""

import keras

from primer_tf.layers.decoder_layer import DecoderLayer, PositionMixingLayer
from primer_tf.layers.normalization import make_normalization
from primer_tf.layers.shape_checks import check_rank

PLACEMENTS = ("pre", "post")


@keras.saving.register_keras_serializable(package="primer_tf")
class ResidualSublayer(PositionMixingLayer):
    """Wraps a layer as `x + dropout(layer(norm(x)))` or `x + dropout(norm(layer(x)))`.

    "pre" normalizes the layer's input, "post" its output before the addition; Primer uses both
    (Primer, appendix "Pre and post normalization"; T5's `LayerStack.sublayers_per_layer`).

    A `DecoderLayer` is called with the context of the call; any other layer on `x` alone.

    Args:
        layer: The wrapped `keras.layers.Layer`, from `[B, T, C]` to `[B, T, C]`.
        normalization: `"layer"`, `"rms"` or `"primer"`.
        placement: `"pre"` or `"post"`.
        dropout: Rate of dropout before the addition.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        position_bias, padding_mask, segment_ids, cache, cache_update_index, context: Passed to the
            wrapped layer; see `PositionMixingLayer`.

    Returns:
        `[B, T, C]`, and with a cache also the updated cache.

    Raises:
        ValueError: Unknown normalization or placement, or `x` of the wrong rank.

    Example:

    >>> layer = ResidualSublayer(FeedForward(64), normalization="rms")
    >>> layer(keras.ops.ones((2, 5, 16))).shape
    """

    def __init__(self, layer, normalization="layer", placement="pre", dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        if placement not in PLACEMENTS:
            raise ValueError(
                f"ResidualSublayer expects `placement` to be one of {', '.join(PLACEMENTS)}; "
                f"received {placement!r}."
            )
        self.layer = layer
        self.normalization = normalization
        self.placement = placement
        self.dropout = dropout
        self.norm = make_normalization(normalization, dtype=self.dtype_policy, name="norm")
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    @property
    def mixes_positions(self):
        """Whether the wrapped layer does."""
        return isinstance(self.layer, DecoderLayer) and self.layer.mixes_positions

    @property
    def num_heads(self):
        """Number of heads of the wrapped layer; `None` if it takes no position bias."""
        return self.layer.num_heads if self.mixes_positions else None

    def decoding_weights(self):
        """Returns those of the wrapped layer."""
        return self.layer.decoding_weights() if isinstance(self.layer, DecoderLayer) else None

    def build(self, input_shape):
        """Builds the layer and its normalization for `C` channels."""
        check_rank(self, "x", input_shape, 3, "[batch, time, channels]")
        self.norm.build(input_shape)
        if not self.layer.built:
            self.layer.build(input_shape)

    def build_cache(self, batch_size, max_length):
        """Returns an empty cache of the wrapped layer, `()` if it needs none."""
        return self.layer.build_cache(batch_size, max_length) if self.mixes_positions else ()

    def mix(self, x, context, training=None):
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

    def get_config(self):
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "layer": keras.saving.serialize_keras_object(self.layer),
            "normalization": self.normalization,
            "placement": self.placement,
            "dropout": self.dropout,
        }

    @classmethod
    def from_config(cls, config):
        """Returns the layer that `get_config` described."""
        config = dict(config)
        config["layer"] = keras.saving.deserialize_keras_object(config["layer"])
        return cls(**config)
