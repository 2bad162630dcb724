"""Self-attention with a learned matrix over positions, of the Synthesizer."""

import keras
from keras import ops

from primer_tf.layers.multi_dconv_head_attention import MultiDConvHeadAttention
from primer_tf.layers.precision import at_least_float32
from primer_tf.layers.shape_checks import check_positive
from primer_tf.layers.t5_relative_position_bias import expand_distances


@keras.saving.register_keras_serializable(package="primer_tf")
class SynthesizerAttention(MultiDConvHeadAttention):
    """Random Synthesizer plus dot-product attention (Tay et al. 2020, section 3.2).

    T5 attention whose scores are `Q K^T + R` plus the position bias. `R` is learned, one matrix a
    head, and holds a score for every pair of positions; shorter sequences use its upper left corner
    ("random_plus" in `synthetic_attention` of `mesh_tensorflow.transformer.attention`).

    Args:
        num_heads: Number of heads, `H`.
        head_dim: Channels of a head, `D`. Default: the channels of `x` divided by `num_heads`.
        max_length: Positions that `R` has, `L`; Mesh TensorFlow always has 512.
        dropout: Rate of dropout on the attention weights.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`, `T` at most `L`.
        position_bias, padding_mask, segment_ids, cache, cache_update_index: As those of
            `MultiDConvHeadAttention`. With `segment_ids` a token still has its position in the row.

    Returns:
        `[B, T, C]`, and with `cache` also the updated cache.

    Raises:
        ValueError: More than `L` positions; else as `MultiDConvHeadAttention`.

    Example:

    >>> SynthesizerAttention(num_heads=8)(keras.random.normal((2, 5, 512))).shape
    """

    def __init__(self, num_heads, head_dim=None, max_length=512, dropout=0.0, **kwargs):
        super().__init__(num_heads, head_dim, kernel_size=None, dropout=dropout, **kwargs)
        check_positive(self, "max_length", max_length)
        self.max_length = max_length

    def build(self, input_shape):
        """Creates the projections for `C` channels, and `R`, `[L, H, L]`."""
        super().build(input_shape)
        self.synthetic_scores = self.add_weight(
            name="synthetic_scores",
            shape=(self.max_length, self.num_heads, self.max_length),
            initializer="glorot_uniform",
        )

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
        """Attends from every position of `x` to itself and to earlier ones."""
        length = ops.shape(x)[1]
        key_length = length if cache is None else ops.shape(cache["key"])[1]
        if isinstance(key_length, int) and key_length > self.max_length:
            raise ValueError(
                f"SynthesizerAttention has learned scores of {self.max_length} positions; "
                f"received {key_length}."
            )
        scores = at_least_float32(ops.convert_to_tensor(self.synthetic_scores))
        # `ops.slice` complains where a Python slice of a too long sequence would just end early.
        shape = (length, self.num_heads, key_length)
        scores = ops.transpose(ops.slice(scores, (cache_update_index, 0, 0), shape), (1, 0, 2))
        if position_bias is not None:
            if len(position_bias.shape) == 2:
                position_bias = expand_distances(
                    position_bias, length, key_length, cache_update_index
                )
            scores = scores + ops.cast(position_bias, scores.dtype)
        return super().call(
            x,
            position_bias=scores,
            padding_mask=padding_mask,
            segment_ids=segment_ids,
            cache=cache,
            cache_update_index=cache_update_index,
            training=training,
        )

    def get_config(self):
        """Returns the constructor arguments."""
        config = {**super().get_config(), "max_length": self.max_length}
        # Not arguments of this layer.
        for name in ("kernel_size", "shared_query_key", "initializer_scale"):
            del config[name]
        return config
