"""Self-attention with a learned matrix over positions, of the Synthesizer."""

import keras
from keras import ops

from primer_tf.layers.causal_self_attention import (
    CausalSelfAttention,
)
from primer_tf.layers.precision import at_least_float32
from primer_tf.layers.shape_checks import check_positive
from primer_tf.layers.t5_relative_position_bias import skew_distances


@keras.saving.register_keras_serializable(package="primer_tf")
class SynthesizerAttention(CausalSelfAttention):
    """Random Synthesizer plus dot-product attention (Tay et al. 2020, section 3.2).

    `CausalSelfAttention` whose scores are `Q K^T + R` plus the position bias. `R` is learned, one
    matrix for each head, with a score for every pair of positions; shorter sequences use its upper
    left corner ("random_plus" in `synthetic_attention` of `mesh_tensorflow.transformer.attention`).

    Args:
        num_heads: Number of heads, `H`.
        head_dim: Channels of a head, `D`. Default: the channels of `x` divided by `num_heads`.
        max_length: Positions that `R` has, `L`; Mesh TensorFlow always has 512.
        **kwargs: Arguments of `CausalSelfAttention`.

    Call arguments:
        x: `[B, T, C]`, `T` at most `L`.
        position_bias, padding_mask, segment_ids, cache, cache_update_index, context: As those of
            `CausalSelfAttention`. With `segment_ids` a token still has its position in the row.

    Returns:
        `[B, T, C]`, and with a cache also the updated cache.

    Raises:
        ValueError: More than `L` positions; else as `CausalSelfAttention`.

    Example:

    >>> SynthesizerAttention(num_heads=8)(keras.random.normal((2, 5, 512))).shape
    """

    def __init__(self, num_heads, head_dim=None, max_length=512, **kwargs):
        super().__init__(num_heads, head_dim, **kwargs)
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

    def score_bias(self, context, query_length, key_length):
        """Returns `R` plus the position bias, `[H, T, S]`."""
        if isinstance(key_length, int) and key_length > self.max_length:
            raise ValueError(
                f"SynthesizerAttention has learned scores of {self.max_length} positions; "
                f"received {key_length}."
            )
        index = context.cache_update_index
        scores = at_least_float32(ops.convert_to_tensor(self.synthetic_scores))
        # `ops.slice` complains where a Python slice of a too long sequence would just end early.
        shape = (query_length, self.num_heads, key_length)
        scores = ops.transpose(ops.slice(scores, (index, 0, 0), shape), (1, 0, 2))
        bias = super().score_bias(context, query_length, key_length)
        if bias is None:
            return scores
        if len(bias.shape) == 2:
            bias = skew_distances(bias, query_length, key_length, index)
        return scores + ops.cast(bias, scores.dtype)

    def get_config(self):
        """Returns the constructor arguments."""
        return {**super().get_config(), "max_length": self.max_length}
