"""KerasHub's causal language models on the backbones of `backbones.py`.

All that differs is in the backbones: the cache of decoding, too, is a matter of their attention.
"""

import keras
import keras_hub

from primer_tf.drop_in.backbones import (
    PrimerGemmaBackbone,
    PrimerGPT2Backbone,
    PrimerLlama3Backbone,
    PrimerLlamaBackbone,
    PrimerMistralBackbone,
    PrimerOPTBackbone,
)


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerGPT2CausalLM(keras_hub.models.GPT2CausalLM):
    """`keras_hub.models.GPT2CausalLM` on a `PrimerGPT2Backbone`."""

    backbone_cls = PrimerGPT2Backbone


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerOPTCausalLM(keras_hub.models.OPTCausalLM):
    """`keras_hub.models.OPTCausalLM` on a `PrimerOPTBackbone`."""

    backbone_cls = PrimerOPTBackbone


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerLlamaCausalLM(keras_hub.models.LlamaCausalLM):
    """`keras_hub.models.LlamaCausalLM` on a `PrimerLlamaBackbone`."""

    backbone_cls = PrimerLlamaBackbone


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerLlama3CausalLM(keras_hub.models.Llama3CausalLM):
    """`keras_hub.models.Llama3CausalLM` on a `PrimerLlama3Backbone`."""

    backbone_cls = PrimerLlama3Backbone


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerGemmaCausalLM(keras_hub.models.GemmaCausalLM):
    """`keras_hub.models.GemmaCausalLM` on a `PrimerGemmaBackbone`."""

    backbone_cls = PrimerGemmaBackbone


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerMistralCausalLM(keras_hub.models.MistralCausalLM):
    """`keras_hub.models.MistralCausalLM` on a `PrimerMistralBackbone`."""

    backbone_cls = PrimerMistralBackbone
