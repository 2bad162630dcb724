"""The Evolved Transformer decoder's attention with twice the heads at half the size."""

import tensorflow.compat.v1 as tf
from mesh_tensorflow.transformer import transformer, transformer_layers

from primer_tf.mesh.layers.published_name import published_name


@published_name
class DoubleHeadsAttentionLayer(transformer.TransformerLayer):
    """Self-attention with `2 * base_num_heads` heads of `key_value_size / 2` channels each.

    Everything else, such as the relative position bias, follows the configuration of
    `SelfAttention`.

    Args:
      base_num_heads: The number of heads elsewhere in the model.
      key_value_size: The size of a head elsewhere in the model, an even number.
      dropout_rate: The dropout rate of the attention weights.

    Raises:
      ValueError: If `key_value_size` is odd.
    """

    def __init__(self, base_num_heads: int, key_value_size: int, dropout_rate: float):
        if key_value_size % 2:
            raise ValueError(f"key_value_size must be even, got {key_value_size}.")
        self._self_attention = transformer_layers.SelfAttention(
            num_heads=2 * base_num_heads,
            key_value_size=key_value_size // 2,
            dropout_rate=dropout_rate,
        )

    def call(self, context, x, losses=None):
        """Applies the layer to `x`, a Tensor `[..., length, d_model]`."""
        with tf.variable_scope("double_heads_attention"):
            return self._self_attention.call(context, x, losses)
