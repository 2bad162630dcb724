"""KerasHub's causal LMs with Primer-EZ's changes, each against itself and its plain family."""

import re

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

from primer_tf import drop_in
from primer_tf.drop_in import backbones, causal_lms
from primer_tf.errors import UserError
from tests.drop_in.families import (
    FAMILIES,
    LENGTH,
    TOKENS,
    disturb,
    inputs,
    logits,
    plain_model,
)

PROMPT_LENGTHS = np.array([2, 5, 3])

pytestmark = pytest.mark.filterwarnings("ignore:.*optimizer")


# Rotary embeddings and grouped queries; `test_transformer_decoder.py` has the rest in small.
QUICK = ("Llama",)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in FAMILIES
    ],
)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def plain(name):
    return plain_model(name)


@pytest.fixture(scope="module")
def primer(plain):
    return disturb(drop_in.primer_ez(plain))


def squared_relu(x):
    return ops.square(ops.relu(x))


def test_identity_convolutions_change_no_logit(plain):
    convolved = drop_in.add_convolutions(plain)
    expected = logits(plain, TOKENS)
    np.testing.assert_allclose(logits(convolved, TOKENS), expected, atol=1e-5)
    assert np.ptp(expected) > 0.1
    # And a convolution that is moved a little does change them: it is in use.
    for convolution in convolved.backbone.convolutions():
        before = logits(convolved, TOKENS)
        convolution.taps[1].assign(np.full(convolution.taps[1].shape, 0.5))
        after = logits(convolved, TOKENS)
        assert np.abs(after - before).max() > 1e-4
        # The first token has nothing before it.
        np.testing.assert_allclose(after[:, 0], before[:, 0], atol=1e-5)


def test_the_activation_is_squared_relu(plain):
    """With identity kernels, only the activation differs from the family's own."""
    convolved = drop_in.primer_ez(plain)
    backbone = drop_in.add_convolutions(plain).backbone
    for new, old in zip(convolved.weights, backbone.weights, strict=True):
        new.assign(old)
    expected = drop_in.add_convolutions(plain)
    for layer in expected.backbone.transformer_layers:
        if isinstance(layer, keras_hub.layers.TransformerDecoder):
            layer._feedforward_intermediate_dense.activation = squared_relu
        layer.activation = squared_relu
    np.testing.assert_allclose(logits(convolved, TOKENS), logits(expected, TOKENS), atol=1e-5)
    assert np.abs(logits(convolved, TOKENS) - logits(plain, TOKENS)).max() > 1e-2


def test_later_tokens_change_nothing_before(primer):
    changed = TOKENS.copy()
    changed[:, 6:] = (changed[:, 6:] + 7) % 50
    before, after = logits(primer, TOKENS), logits(primer, changed)
    np.testing.assert_allclose(after[:, :6], before[:, :6], atol=1e-5)
    assert np.abs(after[:, 6:] - before[:, 6:]).max() > 1e-2


def test_cached_generation_equals_full_passes(primer):
    length = 14
    mask = (np.arange(length) < PROMPT_LENGTHS[:, None]).astype("int32")
    prompts = np.where(mask, np.pad(TOKENS, ((0, 0), (0, length - TOKENS.shape[1]))), 0)
    expected = prompts.copy()
    for t in range(PROMPT_LENGTHS.min(), length):
        chosen = logits(primer, expected)[:, t - 1].argmax(-1)
        expected[:, t] = np.where(mask[:, t], expected[:, t], chosen)
    primer.compile(sampler="greedy")
    outputs = primer.generate(
        {"token_ids": prompts.copy(), "padding_mask": mask.copy()}, stop_token_ids=None
    )
    np.testing.assert_array_equal(outputs["token_ids"], expected)
    assert len(np.unique(expected)) > 3


def beam_search(model, prompt, length, num_beams):
    """Returns the best beam of a search by full passes."""
    beams = [(0.0, list(prompt))]
    for _ in range(length - len(prompt)):
        rows = logits(model, np.array([tokens for _, tokens in beams], "int32"))[:, -1]
        log_probs = ops.convert_to_numpy(ops.log_softmax(rows))
        candidates = [
            (score + log_probs[i, token], [*tokens, token])
            for i, (score, tokens) in enumerate(beams)
            for token in range(log_probs.shape[1])
        ]
        beams = sorted(candidates, key=lambda each: -each[0])[:num_beams]
    return beams[0][1]


def test_beam_search_reorders_the_cache(primer):
    length, prompt = 10, TOKENS[:, :4]
    mask = np.broadcast_to((np.arange(length) < 4).astype("int32"), (3, length)).copy()
    primer.compile(sampler=keras_hub.samplers.BeamSampler(num_beams=3))
    padded = np.pad(prompt, ((0, 0), (0, length - 4)))
    outputs = primer.generate({"token_ids": padded, "padding_mask": mask}, stop_token_ids=None)
    expected = [beam_search(primer, row, length, 3) for row in prompt]
    np.testing.assert_array_equal(np.asarray(outputs["token_ids"]), expected)


def test_keras_file_and_preset(name, primer, tmp_path):
    expected = logits(primer, TOKENS)
    primer.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(logits(again, TOKENS), expected, atol=1e-5)

    primer.save_to_preset(str(tmp_path / "preset"))
    cls = getattr(causal_lms, f"Primer{name}CausalLM")
    for loader in (cls, keras_hub.models.CausalLM):
        again = loader.from_preset(str(tmp_path / "preset"), preprocessor=None)
        assert type(again) is cls
        np.testing.assert_allclose(logits(again, TOKENS), expected, atol=1e-5)
    backbone = keras_hub.models.Backbone.from_preset(str(tmp_path / "preset"))
    assert type(backbone) is type(primer.backbone)
    assert backbone.get_config() == primer.backbone.get_config()


def test_training_moves_every_weight(plain):
    model = disturb(drop_in.primer_ez(plain, activation="gelu"))
    moved = train(model)
    assert {weight.path for weight in model.trainable_weights} == moved


def train(model):
    """Trains a step with Keras' `fit` and returns the paths of the weights that moved."""
    weights = [w for w in model.weights if "seed" not in w.path]
    before = [ops.convert_to_numpy(w) for w in weights]
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    # All tokens and positions occur, so every embedding is trained.
    tokens = np.resize(np.arange(50), (8, LENGTH)).astype("int32")
    model.fit(inputs(tokens), np.roll(tokens, -1, axis=1), verbose=0)
    pairs = zip(weights, before, strict=True)
    return {w.path for w, old in pairs if (ops.convert_to_numpy(w) != old).any()}


def copy_of(model):
    backbone = model.backbone
    copy = type(model)(backbone=type(backbone).from_config(backbones.full_config(backbone)))
    copy.set_weights(model.get_weights())
    return copy


def test_lora_trains_factors_and_convolutions(primer, tmp_path):
    model = copy_of(primer)
    model.backbone.enable_lora(2)
    moved = train(model)
    assert moved
    # KerasHub trains the biases of the layers that get factors, too.
    trained = re.compile(r"lora|convolution|/(query|value)/bias")
    assert [path for path in moved if not trained.search(path)] == []
    convolutions = 18 * model.backbone.num_layers // 2  # three taps of each projection
    assert sum("convolution" in path for path in moved) == convolutions
    model.backbone.save_lora_weights(str(tmp_path / "tuned.lora.h5"))

    again = copy_of(primer)
    again.backbone.enable_lora(2)
    again.backbone.load_lora_weights(str(tmp_path / "tuned.lora.h5"))
    np.testing.assert_allclose(logits(again, TOKENS), logits(model, TOKENS), atol=1e-5)
    assert np.abs(logits(again, TOKENS) - logits(primer, TOKENS)).max() > 1e-3


def test_a_backbone_and_its_kernel_size(plain):
    backbone = drop_in.add_convolutions(plain.backbone, kernel_size=5)
    assert isinstance(backbone, keras_hub.models.Backbone)
    assert {len(convolution.taps) for convolution in backbone.convolutions()} == {5}
    with pytest.raises(UserError, match="has convolutions already"):
        drop_in.primer_ez(backbone)
    with pytest.raises(UserError, match="`kernel_size` must be an integer of at least 1; .* 0"):
        drop_in.primer_ez(plain, kernel_size=0)


def test_a_frozen_model_stays_frozen(name, plain):
    config = {**plain.backbone.get_config(), "trainable": False}
    backbone = getattr(backbones, f"Primer{name}Backbone").from_config(config)
    assert backbone.trainable_weights == []


def test_other_models_are_errors(plain):
    bert = keras_hub.models.BertBackbone(50, 1, 2, 8, 16)
    with pytest.raises(UserError, match="BertBackbone is not supported; use one of GPT2Backbone"):
        drop_in.primer_ez(bert)
    with pytest.raises(UserError, match="Pass a backbone or causal LM of KerasHub; received Seq"):
        drop_in.primer_ez(keras.Sequential([keras.layers.Dense(1)]))
    tuned = copy_of(plain)
    tuned.backbone.enable_lora(2)
    with pytest.raises(UserError, match="before LoRA"):
        drop_in.add_convolutions(tuned)
