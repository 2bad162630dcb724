"""Self-attention with a learned matrix over positions, of the Synthesizer."""

from typing import Any

import keras
from keras import ops

from primer_tf.layers.causal_self_attention import (
    CausalSelfAttention,
)
from primer_tf.layers.decoder_context import DecoderContext
from primer_tf.layers.position_cache import add_positions, is_per_row
from primer_tf.layers.precision import at_least_float32
from primer_tf.layers.shape_checks import check_positive
from primer_tf.layers.t5_relative_position_bias import skew_distances
from primer_tf.types import Config, Shape, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class SynthesizerAttention(CausalSelfAttention):
    """Random Synthesizer plus dot-product attention (Tay et al. 2020, section 3.2).

    `CausalSelfAttention` with the scores `Q K^T + R` plus the position bias. `R` is learned: for
    each head a matrix with a score for every pair of positions. Shorter sequences use its upper
    left corner. Source: "random_plus" in `synthetic_attention` of
    `mesh_tensorflow.transformer.attention`.

    Args:
        num_heads: Number of heads, `H`, at least 1.
        head_dim: Channels of a head, `D`, at least 1. Defaults to the channels of `x` divided by
            `num_heads`.
        max_length: Number of positions of `R`, `L`, at least 1. Defaults to 512, the only value in
            Mesh TensorFlow.
        **kwargs: Arguments of `CausalSelfAttention`.

    Raises:
        ValueError: There are more than `L` positions, `max_length` is below 1, or as for
            `CausalSelfAttention`.

    Example:

    >>> import numpy as np
    >>> from primer_tf.layers import SynthesizerAttention
    >>> layer = SynthesizerAttention(num_heads=2, max_length=16)
    >>> tuple(layer(np.ones((2, 5, 8), "float32")).shape)
    (2, 5, 8)
    """

    def __init__(
        self, num_heads: int, head_dim: int | None = None, max_length: int = 512, **kwargs: Any
    ) -> None:
        super().__init__(num_heads, head_dim, **kwargs)
        check_positive(self, "max_length", max_length)
        self.max_length = max_length

    def build(self, input_shape: Shape) -> None:
        """Creates the projections for `C` channels, and `R`, `[L, H, L]`."""
        super().build(input_shape)
        self.synthetic_scores = self.add_weight(
            name="synthetic_scores",
            shape=(self.max_length, self.num_heads, self.max_length),
            initializer="glorot_uniform",
        )

    def score_bias(
        self, context: DecoderContext, query_length: int | Tensor, key_length: int | Tensor
    ) -> Tensor:
        """Returns `R` plus the position bias, `[H, T, S]` or `[B, H, T, S]`."""
        if isinstance(key_length, int) and key_length > self.max_length:
            raise ValueError(
                f"SynthesizerAttention has learned scores of {self.max_length} positions; "
                f"received {key_length}."
            )
        index = context.cache_update_index
        scores = at_least_float32(ops.convert_to_tensor(self.synthetic_scores))
        if is_per_row(index):
            scores = ops.take(scores, add_positions(index, query_length), axis=0)
            scores = ops.transpose(scores[..., :key_length], (0, 2, 1, 3))
        else:
            # `ops.slice` raises an error if the sequence is too long; indexing would not.
            shape = (query_length, self.num_heads, key_length)
            scores = ops.transpose(ops.slice(scores, (index, 0, 0), shape), (1, 0, 2))
        bias = super().score_bias(context, query_length, key_length)
        if bias is None:
            return scores
        if len(bias.shape) == 2:
            bias = skew_distances(bias, query_length, key_length, index)
        return scores + ops.cast(bias, scores.dtype)

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {**super().get_config(), "max_length": self.max_length}
