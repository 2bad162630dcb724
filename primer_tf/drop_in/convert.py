"""KerasHub's models turned into Primer-EZ."""

from typing import TypeVar

import keras_hub

from primer_tf.drop_in import causal_lms
from primer_tf.drop_in.backbones import PrimerEZ, full_config
from primer_tf.errors import UserError
from primer_tf.types import Activation

Model = TypeVar("Model", keras_hub.models.Backbone, keras_hub.models.CausalLM)

# Our causal LM for each backbone of KerasHub.
FAMILIES: dict[type, type[keras_hub.models.CausalLM]] = {
    keras_hub.models.GPT2Backbone: causal_lms.PrimerGPT2CausalLM,
    keras_hub.models.OPTBackbone: causal_lms.PrimerOPTCausalLM,
    keras_hub.models.LlamaBackbone: causal_lms.PrimerLlamaCausalLM,
    keras_hub.models.Llama3Backbone: causal_lms.PrimerLlama3CausalLM,
    keras_hub.models.GemmaBackbone: causal_lms.PrimerGemmaCausalLM,
    keras_hub.models.MistralBackbone: causal_lms.PrimerMistralCausalLM,
}


def primer_ez(
    model: Model, kernel_size: int = 3, activation: Activation | None = "squared_relu"
) -> Model:
    """Returns a new model of KerasHub's family and sizes with Primer-EZ's two changes.

    Convolutions follow the projections of queries, keys and values, and the feed-forward networks
    have squared ReLU (Primer, section 4.1). All weights are fresh. A gated feed-forward network, as
    Llama, Gemma and Mistral have it, stays gated: squared ReLU takes the place of the gate's
    activation.

    Args:
        model: A backbone or causal LM of KerasHub: GPT-2, OPT, Llama, Llama 3, Gemma or Mistral.
            It is only read.
        kernel_size: Number of positions that an output of a convolution depends on, at least 1.
            Defaults to 3.
        activation: Activation of the feed-forward networks; `None` keeps the family's own.
            Defaults to `"squared_relu"`.

    Returns:
        A backbone if `model` is one, else a causal LM with the preprocessor of `model`.

    Raises:
        UserError: `model` is of no such family or has convolutions already, or `kernel_size` is
            below 1.

    Example:

    >>> import keras_hub
    >>> from primer_tf.drop_in import primer_ez
    >>> gpt2 = keras_hub.models.GPT2Backbone(
    ...     vocabulary_size=300, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
    ... )
    >>> primer_ez(gpt2).count_params() - gpt2.count_params()  # 3 convolutions of 3 x 8 weights
    72
    """
    backbone = model if isinstance(model, keras_hub.models.Backbone) else _backbone_of(model)
    causal_lm = _family_of(backbone)
    new = causal_lm.backbone_cls.from_config(
        {**full_config(backbone), "kernel_size": kernel_size, "activation": activation}
    )
    if backbone is model:
        return new
    return causal_lm(backbone=new, preprocessor=model.preprocessor, name=model.name)


def add_convolutions(model: Model, kernel_size: int = 3) -> Model:
    """Returns a copy of a KerasHub model with convolutions that change nothing yet.

    The copy has the weights and the activation of the model. The weights of its convolutions are 1
    for the present position and 0 for earlier ones, so its outputs are those of the model until
    training changes them.

    Args:
        model: A backbone or causal LM of KerasHub, such as a pretrained one: GPT-2, OPT, Llama,
            Llama 3, Gemma or Mistral. It stays as it is.
        kernel_size: Number of positions that an output of a convolution depends on, at least 1.
            Defaults to 3.

    Returns:
        A backbone if `model` is one, else a causal LM with the preprocessor of `model`.

    Raises:
        UserError: `model` is of no such family, has convolutions or LoRA weights already, or
            `kernel_size` is below 1.

    Example:

    >>> import keras_hub
    >>> import numpy as np
    >>> from primer_tf.drop_in import add_convolutions
    >>> gpt2 = keras_hub.models.GPT2Backbone(
    ...     vocabulary_size=300, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
    ... )
    >>> inputs = {"token_ids": np.array([[5, 6, 7]]), "padding_mask": np.ones((1, 3))}
    >>> np.testing.assert_allclose(add_convolutions(gpt2)(inputs), gpt2(inputs), atol=1e-5)
    """
    new = primer_ez(model, kernel_size, activation=None)
    backbone: PrimerEZ = getattr(new, "backbone", new)
    taps = {id(tap) for convolution in backbone.convolutions() for tap in convolution.taps}
    weights = [weight for weight in new.weights if id(weight) not in taps]
    if [w.shape for w in weights] != [w.shape for w in model.weights]:
        raise UserError(
            f"{type(model).__name__} has other weights than its config says; add convolutions "
            "before LoRA, or to a model without it."
        )
    for weight, value in zip(weights, model.weights, strict=True):
        weight.assign(value)
    for convolution in backbone.convolutions():
        for shift, tap in enumerate(convolution.taps):
            tap.assign([float(shift == 0)] * tap.shape[0])
    return new


def _backbone_of(model: keras_hub.models.CausalLM) -> keras_hub.models.Backbone:
    backbone = getattr(model, "backbone", None)
    if not isinstance(model, keras_hub.models.CausalLM) or backbone is None:
        raise UserError(
            f"Pass a backbone or causal LM of KerasHub; received {type(model).__name__}."
        )
    return backbone


def _family_of(backbone: keras_hub.models.Backbone) -> type[keras_hub.models.CausalLM]:
    if isinstance(backbone, PrimerEZ):
        raise UserError(f"{type(backbone).__name__} has convolutions already.")
    if type(backbone) not in FAMILIES:
        supported = ", ".join(cls.__name__ for cls in FAMILIES)
        raise UserError(f"{type(backbone).__name__} is not supported; use one of {supported}.")
    return FAMILIES[type(backbone)]
