"""One block of a decoder: a list of residual sublayers."""

import keras

from primer_tf.layers.layer import Layer


@keras.saving.register_keras_serializable(package="primer_tf")
class DecoderBlock(Layer):
    """Residual sublayers applied one after the other.

    A Transformer's block is attention and feed-forward; other decoders have longer lists.

    Args:
        sublayers: List of `ResidualSublayer`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        position_biases: Dict from a number of heads to a bias by distance, `[H, R]`, for the
            sublayers whose layer has that `num_heads`. Optional.
        padding_mask, segment_ids, cache_update_index: For the sublayers. Optional.
        cache: What `build_cache` or an earlier call returned, or `None`.

    Returns:
        `[B, T, C]`, and with `cache` also the updated cache.

    Example:

    >>> DecoderBlock([ResidualSublayer(FeedForward(64))])(keras.ops.ones((2, 5, 16))).shape
    """

    def __init__(self, sublayers, **kwargs):
        super().__init__(**kwargs)
        self.sublayers = list(sublayers)

    def build(self, input_shape):
        """Builds every sublayer for `[B, T, C]`."""
        for sublayer in self.sublayers:
            if not sublayer.built:
                sublayer.build(input_shape)

    def build_cache(self, batch_size, max_length):
        """Returns empty caches, one for each sublayer that mixes positions."""
        return tuple(
            sublayer.layer.build_cache(batch_size, max_length)
            for sublayer in self.sublayers
            if sublayer.mixes_positions
        )

    def call(
        self,
        x,
        position_biases=None,
        padding_mask=None,
        segment_ids=None,
        cache=None,
        cache_update_index=0,
        training=None,
    ):
        """Applies the sublayers in order."""
        caches = iter(cache or ())
        updated = []
        for sublayer in self.sublayers:
            if not sublayer.mixes_positions:
                x = sublayer(x)
                continue
            heads = getattr(sublayer.layer, "num_heads", None)
            x = sublayer(
                x,
                position_bias=(position_biases or {}).get(heads),
                padding_mask=padding_mask,
                segment_ids=segment_ids,
                cache=next(caches, None),
                cache_update_index=cache_update_index,
            )
            if cache is not None:
                x, new = x
                updated.append(new)
        return x if cache is None else (x, tuple(updated))

    def compute_output_spec(self, x, cache=None, **kwargs):
        """Returns the spec of `[B, T, C]`, and of the cache where there is one."""
        output = keras.KerasTensor(x.shape, dtype=self.compute_dtype)
        return output if cache is None else (output, cache)

    def get_config(self):
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "sublayers": [keras.saving.serialize_keras_object(s) for s in self.sublayers],
        }

    @classmethod
    def from_config(cls, config):
        """Returns the block that `get_config` described."""
        config = dict(config)
        config["sublayers"] = [
            keras.saving.deserialize_keras_object(s) for s in config["sublayers"]
        ]
        return cls(**config)
