"""`primer evaluate` counts a text by hand and scores all of it."""

import json
import math
import sys

import numpy as np
import pytest

from primer_tf.cli import main
from primer_tf.models import PrimerCausalLM
from tests.sample_text import SENTENCES

# One chunk, so that the model can be called on the tokens as they are.
TEXT = "In  the \u00e9.\nGod"


@pytest.fixture
def evaluate(small_preset, tmp_path, capsys):
    """A function that evaluates a text and returns what is printed."""

    def run(text, *options):
        path = tmp_path / "mine.txt"
        path.write_text(text, encoding="utf-8")
        assert main(["evaluate", str(small_preset), "--data", str(path), *options]) == 0
        return capsys.readouterr().out

    return run


def test_the_figures_are_those_of_the_whole_text(evaluate, small_preset):
    found = json.loads(evaluate(TEXT, "--json"))
    model = PrimerCausalLM.from_preset(str(small_preset))
    tokenizer = model.preprocessor.tokenizer
    targets = np.array([[*tokenizer(TEXT), tokenizer.end_token_id]])
    inputs = np.pad(targets, ((0, 0), (1, 0)), constant_values=tokenizer.start_token_id)[:, :-1]
    assert targets.shape[1] <= model.preprocessor.sequence_length
    logits = np.asarray(model.score(inputs), "float64")[0]
    of_targets = np.take_along_axis(logits, targets[0][:, None], axis=1)[:, 0]
    nats = np.sum(np.log(np.exp(logits).sum(axis=1)) - of_targets)
    tokens = targets.shape[1]
    assert found.pop("data").endswith("mine.txt")
    assert found.pop("split") == "all"
    assert (found.pop("tokens"), found.pop("bytes"), found.pop("words")) == (tokens, 15, 4)
    assert found.pop("accuracy") == pytest.approx((logits.argmax(axis=1) == targets[0]).mean())
    assert found == {
        "loss": pytest.approx(nats / tokens, rel=1e-5),
        "perplexity": pytest.approx(math.exp(nats / tokens), rel=1e-5),
        "word_perplexity": pytest.approx(math.exp(nats / 4), rel=1e-4),
        "bits_per_byte": pytest.approx(nats / math.log(2) / 15, rel=1e-5),
    }


def test_a_part_of_the_text_only_if_asked(evaluate):
    text = "\n".join(SENTENCES * 2)
    printed = evaluate(text)
    assert ", the whole text: " in printed
    assert f" {len(text.encode('utf-8')):,} bytes, {len(text.split()):,} words\n" in printed
    held_out = int(len(text) * 0.05)
    assert ", the validation split: " in (part := evaluate(text, "--split", "validation"))
    assert f" {len(text[-held_out:].encode('utf-8')):,} bytes" in part


def test_a_text_or_tasks(small_preset, capsys):
    def refused(*options):
        assert main(["evaluate", str(small_preset), *options]) == 1
        return capsys.readouterr().err

    assert "--shots says nothing about --data" in refused("--data", "a", "--shots", "1")
    assert "--split says nothing about --tasks" in refused("--tasks", "a", "--split", "train")
    assert "shots must be at least 0" in refused("--tasks", "a", "--shots", "-1")
    assert "Give --data or --tasks, and not both." in refused()
    assert "Give --data or --tasks, and not both." in refused("--data", "a", "--tasks", "b")


def test_lm_eval_is_missing(small_preset, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("primer_tf.evaluation.harness")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("lm_eval.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    assert main(["evaluate", str(small_preset), "--tasks", "hellaswag"]) == 1
    error = capsys.readouterr().err
    assert "lm_eval" in error and "is not installed; run: pip install" in error
    assert "[eval]" in error
