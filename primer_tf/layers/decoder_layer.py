"""The contract between a decoder and the layers that it is made of."""

import keras

from primer_tf.layers.decoder_context import DecoderContext
from primer_tf.layers.layer import Layer
from primer_tf.layers.shape_checks import check_rank


class DecoderLayer(Layer):
    """A layer from `[B, T, C]` to `[B, T, C]` that a decoder calls with a `DecoderContext`.

    A decoder takes any Keras layer, and calls it on `x` alone; one that needs to know more about
    the call derives from this class or from `PositionMixingLayer`.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    mixes_positions = False
    """Whether the output at a position depends on other positions, and decoding needs a cache."""

    def decoding_weights(self):
        """Returns weights in the form that a decoding loop reads fastest, or `None`.

        They are made once, outside of the loop, and come back in the context of every call.
        """
        return None

    def compute_output_spec(self, x, cache=None, context=None, **kwargs):
        """Returns the spec of `[B, T, C]`, and of the cache where there is one."""
        output = keras.KerasTensor(x.shape, dtype=self.compute_dtype)
        cache = context.cache if context is not None else cache
        return output if cache is None else (output, cache)


class PositionMixingLayer(DecoderLayer):
    """A `DecoderLayer` whose output at a position depends on earlier positions.

    A subclass says what it computes in `mix`, and what it must remember in `build_cache`.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        position_bias: Bias of the attention scores: `[H, R]`, one for each distance from query to
            key, longer distances having the last one; or a whole matrix `[H, T, S]`, which costs
            more time and memory. Optional.
        padding_mask: `[B, T]`, true at real tokens. Optional, and not for use with `cache`.
        segment_ids: `[B, T]` integers; a position sees only its own segment. Optional, and not for
            use with `cache`.
        cache: What `build_cache` or an earlier call returned. `x` then stands at the positions
            `cache_update_index .. cache_update_index + T - 1`. Optional.
        cache_update_index: Integer or scalar tensor.
        context: A `DecoderContext`, in place of the five arguments before it. Optional.

    Returns:
        `[B, T, C]`, and with a cache also the updated cache.
    """

    mixes_positions = True
    num_heads = None
    """Number of attention heads; `None` for a layer that takes no position bias."""

    def call(
        self,
        x,
        position_bias=None,
        padding_mask=None,
        segment_ids=None,
        cache=None,
        cache_update_index=0,
        context=None,
        training=None,
    ):
        """Applies the layer; see the class."""
        check_rank(self, "x", x.shape, 3, "[batch, time, channels]")
        if context is None:
            biases = {} if position_bias is None else {self.num_heads: position_bias}
            context = DecoderContext(biases, padding_mask, segment_ids, cache, cache_update_index)
        y, cache = self.mix(x, context, training)
        return y if context.cache is None else (y, cache)

    def mix(self, x, context, training=None):
        """Returns the outputs `[B, T, C]` and the updated cache, `None` where there is none.

        Args:
            x: `[B, T, C]`.
            context: A `DecoderContext`.
            training: Whether the call is one of training.
        """
        raise NotImplementedError

    def build_cache(self, batch_size, max_length):
        """Returns an empty cache for `max_length` positions, a nest of `[B, ...]` tensors."""
        raise NotImplementedError
