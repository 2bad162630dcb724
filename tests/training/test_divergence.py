"""A run that diverges ends, says where, and leaves what was good."""

import json
import re
import shutil

import pytest

from primer_tf.cli import main
from primer_tf.data.text_length import TextLength
from primer_tf.evaluation.evaluator import Evaluation
from primer_tf.models.training_state import read_training_state

GOOD = 2


@pytest.fixture(scope="module")
def good_run(small_preset, text_file, tmp_path_factory):
    """Arguments that go on with a run whose first two steps were good, and its folder."""
    output = tmp_path_factory.mktemp("good") / "run"
    start = ["train", "--preset", str(small_preset), "--data", str(text_file)]
    start += ["--output", str(output), "--steps", str(GOOD), "--interval", "1"]
    assert main([*start, "--batch_size", "2", "--sequence_length", "8"]) == 0
    return output


def with_record(run, target, **changes):
    """A copy of a run whose record says something else."""
    output = shutil.copytree(run, target)
    record = json.loads((output / "run.json").read_text())
    (output / "run.json").write_text(json.dumps({**record, **changes}))
    return output


# Steps of that size give first a finite loss whose perplexity overflows; weights that are no
# numbers, which the evaluation finds; or, evaluated later, a step whose loss is none.
@pytest.mark.parametrize(
    "scale, interval, step, words",
    [
        (1e3, 1, 3, r"the validation loss is \d+(\.\d+)?(e\+\d+)?"),
        (1e38, 1, 3, "the validation loss is nan"),
        (1e38, 5, 4, "the training loss is nan"),
    ],
)
def test_diverged(good_run, tmp_path, capsys, scale, interval, step, words):
    output = with_record(good_run, tmp_path / "run", learning_rate_scale=scale, interval=interval)
    before = {p: p.read_bytes() for p in output.rglob("variables.npz")}
    history = (output / "history.csv").read_bytes()
    assert main(["train", "--resume", "--output", str(output), "--steps", "8"]) == 1
    printed = capsys.readouterr()
    (error,) = (x for x in printed.err.splitlines() if x.startswith("primer: error:"))
    assert re.search(f"{words} at step {step}; ", error), error
    assert f"the checkpoint of step {GOOD} is kept" in error and "smaller" in error
    assert "Last preset" not in printed.out
    for preset in ("preset", "best"):
        assert read_training_state(output / preset)[0] == GOOD
    assert {p: p.read_bytes() for p in output.rglob("variables.npz")} == before
    assert (output / "history.csv").read_bytes() == history


def test_a_perplexity_is_not_made_up():
    def perplexity(loss):
        return Evaluation(loss, 0.0, 1, TextLength(1, 1)).perplexity

    assert perplexity(1000.0) == float("inf")
    assert perplexity(float("nan")) != perplexity(1.0)
    assert perplexity(1.0) == pytest.approx(2.718281828)
