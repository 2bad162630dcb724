"""`fit` and `evaluate` without logits against the same with them, and the evaluation of a text."""

import keras
import numpy as np
import pytest
from keras import ops
from models.small_models import make_model

from primer_tf.training import NextTokenLoss, TokenChunks
from primer_tf.training.evaluation import Evaluator

RNG = np.random.default_rng(0)
IDS = RNG.integers(3, 290, (8, 24)).astype("int32")
INPUTS = {"token_ids": IDS, "padding_mask": np.ones_like(IDS)}
WEIGHTS = (RNG.random((8, 24)) < 0.7).astype("float32")


class PlainLoss(NextTokenLoss):
    """A loss that the model does not know, so that it is given logits."""


def trained(loss, targets):
    model = make_model("primer_ez", None)
    model.compile(keras.optimizers.SGD(0.1), loss=loss)
    data = {"x": INPUTS, "y": targets, "sample_weight": WEIGHTS, "verbose": 0}
    history = model.fit(**data, batch_size=4, epochs=2, shuffle=False).history
    scores = model.evaluate(**data, batch_size=4, return_dict=True)
    return history, scores, [ops.convert_to_numpy(v) for v in model.trainable_variables]


def test_training_is_the_same_with_and_without_logits():
    best = ops.convert_to_numpy(make_model("primer_ez", None)(INPUTS)).argmax(axis=-1)
    targets = np.where(RNG.random(IDS.shape) < 0.5, best, np.roll(IDS, -1, axis=1)).astype("int32")
    fast, plain = (trained(cls(1e-2, 0.1), targets) for cls in (NextTokenLoss, PlainLoss))
    assert 0.1 < plain[0]["sparse_categorical_accuracy"][0] < 0.9
    for key, values in plain[0].items():
        assert fast[0][key] == pytest.approx(values, rel=1e-5)
    assert fast[1] == pytest.approx(plain[1], rel=1e-5)
    for with_logits, without in zip(plain[2], fast[2], strict=True):
        np.testing.assert_allclose(without, with_logits, rtol=1e-4, atol=1e-6)


def test_logits_are_made_only_where_they_are_asked_for(monkeypatch):
    model = make_model("primer_ez", None)

    def refuse(*args, **kwargs):
        raise AssertionError("logits")

    monkeypatch.setattr(model.backbone.token_embedding, "call", guarded(model, refuse))
    model.compile()
    data = {"x": INPUTS, "y": IDS, "verbose": 0}
    model.fit(**data)
    model.evaluate(**data)
    for kwargs in ({"loss": PlainLoss()}, {"weighted_metrics": ["accuracy"]}, {"metrics": ["mse"]}):
        model.compile(**kwargs)
        with pytest.raises(Exception, match="logits"):
            model.fit(**data)


def guarded(model, refuse):
    """The embedding's `call`, which refuses to be the head of the model."""
    call = model.backbone.token_embedding.call

    def embed(inputs, reverse=False):
        return refuse() if reverse else call(inputs)

    return embed


def test_evaluation_of_a_text_counts_every_token_once():
    model = make_model("primer_ez", None)
    tokens = RNG.integers(3, 290, 100)
    chunks = TokenChunks(tokens, sequence_length=8)
    evaluation = Evaluator(model, chunks, num_bytes=300, batch_size=4)()
    losses, correct = [], []
    for start in range(0, 100, 8):
        targets = tokens[start : start + 8]
        ids = np.concatenate([[0], targets[:-1]])[None].astype("int32")
        logits = model({"token_ids": ids, "padding_mask": np.ones_like(ids)})
        logits = ops.convert_to_numpy(logits)[0].astype("float64")
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        losses.extend(-log_probs[np.arange(len(targets)), targets])
        correct.extend(logits.argmax(-1) == targets)
    assert len(losses) == evaluation.tokens == 100
    assert evaluation.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert evaluation.accuracy == pytest.approx(np.mean(correct))
    assert evaluation.bits_per_byte == pytest.approx(np.sum(losses) / np.log(2) / 300, rel=1e-5)
