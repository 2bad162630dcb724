"""A misspelled keyword is an error, and every other keyword has its effect."""

import pytest

from primer_tf.errors import UserError
from primer_tf.models import (
    PrimerBackbone,
    PrimerCausalLM,
    PrimerCausalLMPreprocessor,
    PrimerTokenizer,
)
from primer_tf.models.cost import model_cost
from tests.layers.test_frozen_layers import MAKERS
from tests.models.small_models import SMALL


@pytest.mark.parametrize("cls", MAKERS)
def test_layers_refuse_a_misspelled_keyword(cls):
    message = f"{cls.__name__} has no argument 'trainabel'; did you mean 'trainable'"
    with pytest.raises(ValueError, match=message):
        MAKERS[cls](trainabel=False)
    config = {**MAKERS[cls]().get_config(), "nam": "x"}
    with pytest.raises(ValueError, match="has no argument 'nam'; did you mean 'name'"):
        cls.from_config(config)


def refused(call, keyword, nearest):
    with pytest.raises(ValueError) as caught:
        call()
    assert f"no argument {keyword!r}; did you mean {nearest!r}?" in str(caught.value)


def test_models_refuse_a_misspelled_keyword(vocabulary, small_preset):
    backbone, tokenizer = PrimerBackbone(**SMALL), PrimerTokenizer(vocabulary)
    preset = str(small_preset)
    for call, keyword, nearest in (
        (lambda: PrimerBackbone(**SMALL, droput=0.5), "droput", "dropout"),
        (lambda: PrimerBackbone.from_config({**SMALL, "gatd": True}), "gatd", "gated"),
        (lambda: PrimerBackbone.from_preset("tiny_primer", num_layer=1), "num_layer", "num_layers"),
        (lambda: PrimerBackbone.from_preset(preset, num_layer=1), "num_layer", "num_layers"),
        (lambda: PrimerCausalLM(backbone, preprocesor=None), "preprocesor", "preprocessor"),
        (lambda: PrimerCausalLM(backbone, trainabel=False), "trainabel", "trainable"),
        (lambda: PrimerCausalLM.from_preset("tiny_primer", droput=0.5), "droput", "dropout"),
        (lambda: PrimerCausalLM.from_preset(preset, droput=0.5), "droput", "dropout"),
        (
            lambda: PrimerCausalLM.from_preset(preset, load_weight=False),
            "load_weight",
            "load_weights",
        ),
        (
            lambda: PrimerCausalLM.from_preset(preset, sequence_lenght=8),
            "sequence_lenght",
            "sequence_length",
        ),
        (lambda: PrimerTokenizer(vocabulary, add_boss=True), "add_boss", "add_bos"),
        (lambda: PrimerTokenizer.from_preset(preset, add_eo=True), "add_eo", "add_eos"),
        (
            lambda: PrimerCausalLMPreprocessor(tokenizer, sequence_lengt=8),
            "sequence_lengt",
            "sequence_length",
        ),
        (
            lambda: PrimerCausalLMPreprocessor.from_preset(preset, add_end_tokn=False),
            "add_end_tokn",
            "add_end_token",
        ),
        (lambda: model_cost({"hiden_dim": 8}), "hiden_dim", "hidden_dim"),
    ):
        refused(call, keyword, nearest)


def test_a_keyword_unlike_any_argument():
    with pytest.raises(ValueError, match=r"PrimerBackbone has no argument 'xyz'\.$"):
        PrimerBackbone(**SMALL, xyz=1)


def test_subclasses_add_arguments():
    class Wider(PrimerBackbone):
        def __init__(self, factor=1, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

    assert Wider(factor=2, **SMALL).factor == 2
    refused(lambda: Wider(factr=2, **SMALL), "factr", "factor")
    refused(lambda: Wider(droput=2, **SMALL), "droput", "dropout")


def test_every_keyword_has_its_effect(small_preset):
    model = PrimerCausalLM.from_preset(
        str(small_preset),
        sequence_length=64,
        add_end_token=False,
        dropout=0.5,
        dtype="mixed_bfloat16",
        name="mine",
        compile=False,
    )
    preprocessor, backbone = model.preprocessor, model.backbone
    assert (preprocessor.sequence_length, preprocessor.add_end_token) == (64, False)
    assert (backbone.dropout, backbone.dtype_policy.name) == (0.5, "mixed_bfloat16")
    assert (model.name, model.compiled) == ("mine", False)
    assert preprocessor(["And God said"])[0]["token_ids"].shape == (1, 64)


def test_keywords_of_a_missing_preprocessor(vocabulary, preprocessor, small_preset):
    with pytest.raises(UserError, match="sequence_length belongs to the preprocessor.*has none"):
        PrimerCausalLM.from_preset("tiny_primer", sequence_length=64)
    with pytest.raises(UserError, match="sequence_length belongs to the preprocessor; give it"):
        PrimerCausalLM.from_preset(str(small_preset), preprocessor=preprocessor, sequence_length=64)
    model = PrimerCausalLM.from_preset(
        "tiny_primer", tokenizer=PrimerTokenizer(vocabulary), sequence_length=64, num_layers=1
    )
    assert model.preprocessor.sequence_length == 64
