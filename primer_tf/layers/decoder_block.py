"""One block of a decoder: a list of residual sublayers."""

import keras

from primer_tf.layers.decoder_context import DecoderContext
from primer_tf.layers.decoder_layer import DecoderLayer
from primer_tf.layers.shape_checks import check_rank


@keras.saving.register_keras_serializable(package="primer_tf")
class DecoderBlock(DecoderLayer):
    """Residual sublayers applied one after the other.

    A Transformer's block is attention and feed-forward; other decoders have longer lists.

    Args:
        sublayers: List of `ResidualSublayer`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        context: A `DecoderContext` whose cache and decoding weights are tuples, one entry for each
            sublayer. Optional.

    Returns:
        `[B, T, C]`, and with a cache also the updated cache.

    Example:

    >>> DecoderBlock([ResidualSublayer(FeedForward(64))])(keras.ops.ones((2, 5, 16))).shape
    """

    mixes_positions = True

    def __init__(self, sublayers, **kwargs):
        super().__init__(**kwargs)
        self.sublayers = list(sublayers)

    def build(self, input_shape):
        """Builds every sublayer for `[B, T, C]`."""
        for sublayer in self.sublayers:
            if not sublayer.built:
                sublayer.build(input_shape)

    def build_cache(self, batch_size, max_length):
        """Returns empty caches, one for each sublayer."""
        return tuple(s.build_cache(batch_size, max_length) for s in self.sublayers)

    def decoding_weights(self):
        """Returns the decoding weights of each sublayer."""
        return tuple(sublayer.decoding_weights() for sublayer in self.sublayers)

    def call(self, x, context=None, training=None):
        """Applies the sublayers in order."""
        check_rank(self, "x", x.shape, 3, "[batch, time, channels]")
        context = context or DecoderContext()
        updated = []
        for index, sublayer in enumerate(self.sublayers):
            x = sublayer(x, context=context.for_child(index))
            if context.cache is not None:
                x, cache = x
                updated.append(cache)
        return x if context.cache is None else (x, tuple(updated))

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
