"""Synthesizer attention for any number of positions."""

import gin
import mesh_tensorflow as mtf
from mesh_tensorflow.transformer import transformer_layers


class Synthesizer(transformer_layers.SelfAttention):
    """Self-attention whose logits have a learned matrix over positions added to them.

    Mesh TensorFlow's own `Synthesizer` of mode "random_plus" is this for 512 positions, which it
    has as a constant; variables have the same names. In gin files it is `RandomSynthesizer`.

    Args:
      num_heads: an integer.
      key_value_size: an integer.
      dropout_rate: a float.
      relative_attention_type: as in `SelfAttention`.
      relative_attention_num_buckets: an integer.
      max_length: an integer, the number of positions.
    """

    def __init__(
        self,
        num_heads=8,
        key_value_size=128,
        dropout_rate=0.0,
        relative_attention_type=None,
        relative_attention_num_buckets=32,
        max_length=512,
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
        """Returns what is added to the logits: biases, and the learned scores."""
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
