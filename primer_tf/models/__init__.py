"""Primer models to KerasHub's contract, and their presets."""

from primer_tf.models.primer_backbone import PrimerBackbone
from primer_tf.models.primer_causal_lm import PrimerCausalLM
from primer_tf.models.primer_causal_lm_preprocessor import PrimerCausalLMPreprocessor
from primer_tf.models.primer_tokenizer import PrimerTokenizer

__all__ = [
    "PrimerBackbone",
    "PrimerCausalLM",
    "PrimerCausalLMPreprocessor",
    "PrimerTokenizer",
]
