"""Primer-EZ's two changes for models and layers of Keras and KerasHub.

`primer_ez` and `add_convolutions` take a KerasHub model; the layers take the place of Keras' and
KerasHub's layers of the same names.
"""

from primer_tf.drop_in.backbones import (
    PrimerGemmaBackbone,
    PrimerGPT2Backbone,
    PrimerLlama3Backbone,
    PrimerLlamaBackbone,
    PrimerMistralBackbone,
    PrimerOPTBackbone,
)
from primer_tf.drop_in.cached_attention import CachedMultiHeadAttention
from primer_tf.drop_in.causal_lms import (
    PrimerGemmaCausalLM,
    PrimerGPT2CausalLM,
    PrimerLlama3CausalLM,
    PrimerLlamaCausalLM,
    PrimerMistralCausalLM,
    PrimerOPTCausalLM,
)
from primer_tf.drop_in.convert import add_convolutions, primer_ez
from primer_tf.drop_in.decoders import TransformerDecoder
from primer_tf.drop_in.multi_head_attention import GroupQueryAttention, MultiHeadAttention

__all__ = [
    "CachedMultiHeadAttention",
    "GroupQueryAttention",
    "MultiHeadAttention",
    "PrimerGPT2Backbone",
    "PrimerGPT2CausalLM",
    "PrimerGemmaBackbone",
    "PrimerGemmaCausalLM",
    "PrimerLlama3Backbone",
    "PrimerLlama3CausalLM",
    "PrimerLlamaBackbone",
    "PrimerLlamaCausalLM",
    "PrimerMistralBackbone",
    "PrimerMistralCausalLM",
    "PrimerOPTBackbone",
    "PrimerOPTCausalLM",
    "TransformerDecoder",
    "add_convolutions",
    "primer_ez",
]
