"""KerasHub's decoder-only backbones as Primer-EZ has them."""

from typing import TYPE_CHECKING, Any, ClassVar

import h5py
import keras
import keras_hub

from primer_tf.drop_in.convolved_projections import check_kernel_size
from primer_tf.drop_in.decoders import (
    ConvolvedDecoder,
    ConvolvedGemmaDecoder,
    ConvolvedLlamaDecoder,
    ConvolvedMistralDecoder,
    TransformerDecoder,
)
from primer_tf.layers import activations
from primer_tf.layers.layer import freeze_sublayers
from primer_tf.types import Activation, Config, StrPath

if TYPE_CHECKING:
    # Type checkers see what the mixin finds in the class that it is mixed into.
    from keras_hub.models import Backbone as BackboneBase
else:
    BackboneBase = object


class PrimerEZ(BackboneBase):
    """A mixin that gives a backbone of KerasHub Primer-EZ's two changes (section 4.1).

    A causal depthwise convolution follows the projection of queries, of keys and of values, before
    rotary embeddings, with weights of its own for each channel of each head; and the activation of
    the feed-forward networks is squared ReLU. In a gated network, such as that of Llama, the
    activation is that of the gate: `squared_relu(gate(x)) * up(x)`.

    Args:
        *args: Arguments of KerasHub's class.
        kernel_size: Number of positions that an output of a convolution depends on, at least 1.
            Defaults to 3.
        activation: Activation of the feed-forward networks; `None` keeps the family's own.
            Defaults to `"squared_relu"`.
        **kwargs: Arguments of KerasHub's class.

    Raises:
        UserError: `kernel_size` is below 1.
    """

    decoder_class: ClassVar[type[ConvolvedDecoder]]

    def __init__(
        self,
        *args: Any,
        kernel_size: int = 3,
        activation: Activation | None = "squared_relu",
        **kwargs: Any,
    ) -> None:
        check_kernel_size(kernel_size)
        super().__init__(*args, **kwargs)
        for layer in self.transformer_layers:
            self.decoder_class.convert(layer, kernel_size, activation)
        freeze_sublayers(self)
        self.kernel_size = kernel_size
        self.activation = None if activation is None else activations.get(activation)

    def convolutions(self) -> list[keras.layers.Layer]:
        """Returns the convolutions of all layers, those of queries, keys and values in turn."""
        return [each for layer in self.transformer_layers for each in layer.convolutions()]

    def enable_lora(self, rank: int, target_layer_names: list[str] | None = None) -> None:
        """Enables LoRA as KerasHub does, and keeps the convolutions trainable.

        Args:
            rank: Rank of the factors.
            target_layer_names: Names of the layers that get factors. Defaults to those of queries
                and values.
        """
        super().enable_lora(rank, target_layer_names)
        for convolution in self.convolutions():
            convolution.trainable = True

    def save_lora_weights(self, filepath: StrPath) -> None:
        """Saves the weights that are trained with LoRA.

        These are its factors, the convolutions, and biases, which KerasHub trains but does not
        save.

        Args:
            filepath: File to write; its name ends in `.lora.h5`.
        """
        super().save_lora_weights(filepath)
        with h5py.File(filepath, "r+") as file:
            for i, weight in enumerate(self._trained_beside_factors()):
                file[f"beside_factors/{i}"] = keras.ops.convert_to_numpy(weight)

    def load_lora_weights(self, filepath: StrPath) -> None:
        """Loads what `save_lora_weights` has saved.

        Args:
            filepath: The file.
        """
        super().load_lora_weights(filepath)
        with h5py.File(filepath, "r") as file:
            for i, weight in enumerate(self._trained_beside_factors()):
                weight.assign(file[f"beside_factors/{i}"][()])

    def _trained_beside_factors(self) -> list[keras.Variable]:
        return [weight for weight in self.trainable_weights if "lora" not in weight.name]

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        activation = self.activation
        return {
            **with_tied_embeddings(self, super().get_config()),
            "kernel_size": self.kernel_size,
            "activation": None if activation is None else activations.serialize(activation),
        }


def full_config(backbone: keras_hub.models.Backbone) -> Config:
    """Returns the config of a backbone of KerasHub, complete.

    Args:
        backbone: A backbone.
    """
    return with_tied_embeddings(backbone, backbone.get_config())


def with_tied_embeddings(backbone: keras_hub.models.Backbone, config: Config) -> Config:
    """Returns a config with what KerasHub's `get_config` leaves out.

    Llama 3.2 ties its embeddings, which KerasHub 0.32 does not write.

    Args:
        backbone: A backbone.
        config: What KerasHub's `get_config` returned for it.
    """
    tied = getattr(backbone, "tie_word_embeddings", None)
    return config if tied is None else {**config, "tie_word_embeddings": tied}


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerGPT2Backbone(PrimerEZ, keras_hub.models.GPT2Backbone):
    """GPT-2 as Primer-EZ."""

    decoder_class = TransformerDecoder


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerOPTBackbone(PrimerEZ, keras_hub.models.OPTBackbone):
    """OPT as Primer-EZ."""

    decoder_class = TransformerDecoder


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerLlamaBackbone(PrimerEZ, keras_hub.models.LlamaBackbone):
    """Llama as Primer-EZ."""

    decoder_class = ConvolvedLlamaDecoder


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerLlama3Backbone(PrimerEZ, keras_hub.models.Llama3Backbone):
    """Llama 3 as Primer-EZ."""

    decoder_class = ConvolvedLlamaDecoder


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerGemmaBackbone(PrimerEZ, keras_hub.models.GemmaBackbone):
    """Gemma as Primer-EZ."""

    decoder_class = ConvolvedGemmaDecoder


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerMistralBackbone(PrimerEZ, keras_hub.models.MistralBackbone):
    """Mistral as Primer-EZ."""

    decoder_class = ConvolvedMistralDecoder
