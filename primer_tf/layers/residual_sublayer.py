"""Normalization, dropout and residual around one layer."""

import keras

from primer_tf.layers.layer import Layer
from primer_tf.layers.normalization import make_normalization
from primer_tf.layers.shape_checks import check_rank

PLACEMENTS = ("pre", "post")


@keras.saving.register_keras_serializable(package="primer_tf")
class ResidualSublayer(Layer):
    """Wraps a layer as `x + dropout(layer(norm(x)))` or `x + dropout(norm(layer(x)))`.

    "pre" normalizes what the layer gets, "post" what it gives, before it is added; Primer uses
    both (Primer, appendix "Pre and post normalization"; T5's `LayerStack.sublayers_per_layer`).

    A layer with a `build_cache` method mixes positions: it is also given `position_bias`,
    `padding_mask`, `segment_ids`, `cache` and `cache_update_index`, and returns a new cache when it
    got one. Any other layer is called on `x` alone.

    Args:
        layer: The wrapped `keras.layers.Layer`, from `[B, T, C]` to `[B, T, C]`.
        normalization: `"layer"`, `"rms"` or `"primer"`.
        placement: `"pre"` or `"post"`.
        dropout: Rate of dropout before the addition.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        position_bias, padding_mask, segment_ids, cache, cache_update_index: For the wrapped layer,
            see above.

    Returns:
        `[B, T, C]`, and with `cache` also the updated cache.

    Raises:
        ValueError: Unknown normalization or placement, or `x` of the wrong rank.

    Example:

    >>> ResidualSublayer(FeedForward(64), normalization="rms")(keras.ops.ones((2, 5, 16))).shape
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
        """Whether the wrapped layer looks at other positions than its own."""
        return hasattr(self.layer, "build_cache")

    def build(self, input_shape):
        """Builds the layer and its normalization for `C` channels."""
        check_rank(self, "x", input_shape, 3, "[batch, time, channels]")
        self.norm.build(input_shape)
        if not self.layer.built:
            self.layer.build(input_shape)

    def call(
        self,
        x,
        position_bias=None,
        padding_mask=None,
        segment_ids=None,
        cache=None,
        cache_update_index=0,
        training=None,
    ):
        """Applies the wrapped layer and adds its result to `x`."""
        y = self.norm(x) if self.placement == "pre" else x
        if self.mixes_positions:
            y = self.layer(
                y,
                position_bias=position_bias,
                padding_mask=padding_mask,
                segment_ids=segment_ids,
                cache=cache,
                cache_update_index=cache_update_index,
            )
            if cache is not None:
                y, cache = y
        else:
            y = self.layer(y)
        if self.placement == "post":
            y = self.norm(y)
        y = x + self.dropout_layer(y, training=training)
        return y if cache is None else (y, cache)

    def compute_output_spec(self, x, cache=None, **kwargs):
        """Returns the spec of `[B, T, C]`, and of the cache where there is one."""
        output = keras.KerasTensor(x.shape, dtype=self.compute_dtype)
        return output if cache is None else (output, cache)

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
