"""Training, scoring, saving and the interfaces of KerasHub's models."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.errors import UserError
from primer_tf.layers import CausalSelfAttention
from primer_tf.losses import NextTokenLoss
from primer_tf.models import PrimerBackbone, PrimerCausalLM
from tests.models.small_models import SMALL, make_model
from tests.sample_text import SENTENCES


def logits(model):
    ids = np.arange(2 * 7).reshape(2, 7) + 3
    return ops.convert_to_numpy(model({"token_ids": ids, "padding_mask": np.ones_like(ids)}))


def test_logits_are_scaled_products_with_the_embedding(model):
    ids = np.array([[0, 7, 9, 4]])
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    hidden = ops.convert_to_numpy(model.backbone(inputs))
    table = ops.convert_to_numpy(model.backbone.token_embedding.embeddings)
    expected = hidden @ table.T / np.sqrt(SMALL["hidden_dim"])
    np.testing.assert_allclose(ops.convert_to_numpy(model(inputs)), expected, rtol=1e-4, atol=1e-5)


def test_fit_on_strings_learns(preprocessor):
    model = make_model("primer_ez", preprocessor, num_layers=1)
    history = model.fit(SENTENCES, batch_size=4, epochs=15, verbose=0).history
    assert history["loss"][-1] < 0.6 * history["loss"][0]


def test_padding_does_not_count(preprocessor):
    """The loss of a short text is the same whether it is padded to 24 or to 40."""
    model = make_model("primer_ez", preprocessor)
    losses = []
    for length in (24, 40):
        x, y, weights = preprocessor(["And God said"], sequence_length=length)
        x = {key: ops.convert_to_numpy(value) for key, value in x.items()}
        loss = model.loss(y, model(x), sample_weight=weights)
        losses.append(float(ops.convert_to_numpy(loss)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_score(model):
    ids = np.array([[0, 7, 9, 4, 11]])
    targets = np.roll(ids, -1, axis=1)
    scores = ops.convert_to_numpy(model.score(ids))
    losses = ops.convert_to_numpy(model.score(ids, scoring_mode="loss", target_ids=targets))
    expected = ops.convert_to_numpy(model({"token_ids": ids, "padding_mask": np.ones_like(ids)}))
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
    log_probs = expected - np.log(np.exp(expected).sum(-1, keepdims=True))
    np.testing.assert_allclose(
        losses, -np.take_along_axis(log_probs, targets[..., None], -1)[..., 0], rtol=1e-4
    )
    seen = []
    model.score(ids, layer_intercept_fn=lambda x, i: seen.append(i) or x)
    assert seen == list(range(-1, model.backbone.num_layers))
    with pytest.raises(ValueError, match="must be 'logits' or 'loss'"):
        model.score(ids, scoring_mode="probability")
    with pytest.raises(ValueError, match="needs `target_ids`"):
        model.score(ids, scoring_mode="loss")


def test_preset_round_trip(model, tmp_path):
    model.save_to_preset(str(tmp_path / "preset"))
    restored = PrimerCausalLM.from_preset(str(tmp_path / "preset"))
    np.testing.assert_array_equal(logits(restored), logits(model))
    assert restored.get_config()["backbone"]["config"] == model.get_config()["backbone"]["config"]
    assert restored.preprocessor.tokenizer.proto == model.preprocessor.tokenizer.proto


def test_keras_file_round_trip(model, tmp_path):
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(logits(restored), logits(model))


@pytest.mark.parametrize("file", ["config.json", "model.weights.h5", "tokenizer.json"])
def test_incomplete_preset(preprocessor, tmp_path, file):
    make_model("primer_ez", preprocessor).save_to_preset(str(tmp_path))
    (tmp_path / file).unlink()
    with pytest.raises(UserError, match=f"is incomplete: it has no {file}"):
        PrimerCausalLM.from_preset(str(tmp_path))


def test_unknown_preset():
    with pytest.raises(UserError, match="Unknown preset 'big_primer'.*small_primer_ez"):
        PrimerBackbone.from_preset("big_primer")


def test_named_preset_with_overrides():
    backbone = PrimerBackbone.from_preset("tiny_primer", num_layers=1, max_sequence_length=64)
    assert (backbone.num_layers, backbone.max_sequence_length) == (1, 64)
    assert backbone.shared_query_key


def test_lora_trains_queries_and_values_only(preprocessor):
    model = make_model("primer_ez", preprocessor, num_layers=1)
    before = logits(model)
    model.backbone.enable_lora(2)
    names = {v.path.split("/")[-2] for v in model.trainable_variables}
    assert names == {"query", "value"}
    np.testing.assert_allclose(logits(model), before, atol=1e-5)
    model.compile()
    model.fit(SENTENCES, batch_size=4, epochs=5, verbose=0)
    assert np.abs(logits(model) - before).max() > 1e-4


def test_mixed_precision(preprocessor):
    model = make_model("primer", preprocessor, num_layers=1, dtype="mixed_bfloat16")
    assert model.backbone.dtype_policy.compute_dtype == "bfloat16"
    assert all(v.dtype == "float32" for v in model.trainable_variables)
    model.compile(sampler="greedy")
    assert np.isfinite(model.fit(SENTENCES, batch_size=4, verbose=0).history["loss"][0])
    assert model.generate("And", max_length=8).startswith("And")


def test_int8(preprocessor, tmp_path):
    model = make_model("primer_ez", preprocessor, num_layers=1)
    before = logits(model)
    model.quantize("int8")
    after = logits(model)
    assert 0 < np.abs(after - before).max() < 0.3 * np.abs(before).max()
    model.compile(sampler="greedy")
    assert model.generate("And", max_length=8).startswith("And")
    model.save_to_preset(str(tmp_path))
    np.testing.assert_array_equal(logits(PrimerCausalLM.from_preset(str(tmp_path))), after)


@pytest.mark.parametrize("variant", ["primer", pytest.param("evolved", marks=pytest.mark.slow)])
def test_int8_text_of_a_prompt_does_not_depend_on_its_batch(variant, preprocessor):
    """A batch of one row computes its products in another way than a larger batch."""
    model = make_model(variant, preprocessor, num_layers=1)
    model.quantize("int8")
    model.compile(sampler="greedy", jit_compile=keras.backend.backend() != "torch")
    texts = model.generate(["And", "In the"], max_length=24, stop_token_ids=None)
    assert texts[0] != texts[1]
    alone = model.generate(["And"], max_length=24, stop_token_ids=None)
    assert alone == texts[:1]


@pytest.mark.parametrize("variant, dropout", [("primer", 0.0), ("switch", 0.3)])
def test_gradient_checkpointing_changes_no_update(preprocessor, variant, dropout):
    """This includes random dropout and router noise, and the router's loss."""
    weights = []
    for checkpointing in (False, True):
        kwargs = {"num_layers": 1, "dropout": dropout, "gradient_checkpointing": checkpointing}
        model = make_model(variant, preprocessor, **kwargs)
        model.compile(keras.optimizers.SGD(0.1))
        model.fit(SENTENCES, batch_size=4, verbose=0)
        weights.append([ops.convert_to_numpy(v) for v in model.trainable_variables])
    for plain, checkpointed in zip(*weights, strict=True):
        np.testing.assert_allclose(checkpointed, plain, rtol=1e-4, atol=1e-6)


def test_the_losses_of_experts_reach_fit_but_not_evaluate(preprocessor):
    """They do so both with the fused loss and with a plain model that returns logits."""
    losses = {"load_balance_loss": 0.5, "router_z_loss": 0.25, "router_jitter": 0.0}
    model = make_model("switch", preprocessor, capacity_factor=4.0, **losses)
    x, y, weights = preprocessor(SENTENCES[:4])
    model.backbone(x, training=True)
    expected = sum(float(ops.convert_to_numpy(loss)) for loss in model.backbone.losses)
    assert expected > 2 * 0.5, "each of the two layers has at least the balanced loss"
    plain = keras.Model(model.inputs, model.outputs[0])
    for trained in (model, plain):
        # `model` takes strings, and `plain` takes tokens.
        tokens = {"x": x, "y": y, "sample_weight": weights}
        data = {"x": SENTENCES[:4]} if trained is model else tokens
        trained.compile(optimizer=keras.optimizers.SGD(0.0), loss=NextTokenLoss())
        evaluated = trained.evaluate(**data, batch_size=4, verbose=0, return_dict=True)["loss"]
        fitted = trained.fit(**data, batch_size=4, shuffle=False, verbose=0).history["loss"][0]
        assert fitted - evaluated == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"block": ["attention", "pooling"]}, "Unknown sublayer 'pooling'"),
        ({"block": ["double_heads_attention"], "head_dim": 7}, "must be even; received 7"),
        (
            {"block": ["synthesizer_attention"], "max_sequence_length": 600},
            "`max_sequence_length` 600 is beyond the 512 positions",
        ),
    ],
)
def test_blocks_that_cannot_be_built(arguments, message):
    with pytest.raises(ValueError, match=message):
        PrimerBackbone(**{**SMALL, **arguments})


def test_double_heads_attention_has_twice_the_heads_at_half_the_size():
    backbone = PrimerBackbone(**SMALL, block=["double_heads_attention", "attention"])
    double, single = (sublayer.layer for sublayer in backbone.decoder.blocks[0].sublayers)
    assert (type(double), double.num_heads, double.head_dim) == (CausalSelfAttention, 6, 4)
    assert (single.num_heads, single.head_dim, single.kernel_size) == (3, 8, 3)
