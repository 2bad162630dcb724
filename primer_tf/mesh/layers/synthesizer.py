"""Synthesizer attention for any number of positions."""

import gin
import mesh_tensorflow as mtf
from mesh_tensorflow.transformer import transformer_layers


class Synthesizer(transformer_layers.SelfAttention):
    """Self-attention that adds a learned matrix over positions to its logits.

    This is Mesh TensorFlow's `Synthesizer` in mode "random_plus", which is limited to 512
    positions. The variables have the same names. In gin files the layer is `RandomSynthesizer`.

    Args:
      num_heads: The number of heads, 8 by default.
      key_value_size: The number of channels of a head, 128 by default.
      dropout_rate: The dropout rate of the attention weights, 0 by default.
      relative_attention_type: The kind of relative position bias, as in `SelfAttention`.
      relative_attention_num_buckets: The number of buckets of that bias, 32 by default.
      max_length: The number of positions of the learned matrix, 512 by default.
    """

    def __init__(
        self,
        num_heads: int = 8,
        key_value_size: int = 128,
        dropout_rate: float = 0.0,
        relative_attention_type: str | None = None,
        relative_attention_num_buckets: int = 32,
        max_length: int = 512,
    ):
        super().__init__(
            num_heads=num_heads,
            key_value_size=key_value_size,
            dropout_rate=dropout_rate,
            relative_attention_type=relative_attention_type,
            relative_attention_num_buckets=relative_attention_num_buckets,
        )
        self.max_length = max_length

    def compute_bias(self, context, memory_position, x, heads_dims, q, use_prompt_kv=None):
        """Returns the sum of the position bias and the learned scores."""
        bias = super().compute_bias(context, memory_position, x, heads_dims, q, use_prompt_kv)
        length, memory_length = (
            mtf.Dimension(name, self.max_length) for name in ("length", "memory_length")
        )
        scores = mtf.get_variable(
            context.mesh,
            "R",
            mtf.Shape([length, *heads_dims, memory_length]),
            dtype=context.variable_dtype,
        )
        scores = mtf.slice(scores, 0, self.memory_length(context).size, "memory_length")
        if context.mode == "incremental":
            scores = mtf.gather(scores, context.position, length)
        else:
            scores = mtf.slice(scores, 0, context.length_dim.size, "length")
        return scores if bias is None else bias + scores


RandomSynthesizer = gin.external_configurable(
    Synthesizer, name="RandomSynthesizer", module="primer_tf.mesh"
)
