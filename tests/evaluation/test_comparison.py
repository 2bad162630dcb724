"""Several models on the same tasks: differences and their tests."""

import json
import math

import numpy as np
import pytest

pytest.importorskip("lm_eval", reason="lm-eval is not installed: it is the extra [eval]")

from primer_tf.cli import main  # noqa: E402
from primer_tf.evaluation.comparison import Comparison  # noqa: E402
from primer_tf.evaluation.harness_tasks import TaskFigures  # noqa: E402
from primer_tf.evaluation.paired_test import paired_test  # noqa: E402
from tests.evaluation.gpt3_cases import CASES  # noqa: E402
from tests.evaluation.test_gpt3_tasks import write_rows  # noqa: E402


def test_mcnemar_is_the_binomial_tail():
    """By hand: 7 of 8 changes for the better."""
    first = [0] * 7 + [1] + [1] * 5 + [0] * 5
    second = [1] * 7 + [0] + [1] * 5 + [0] * 5
    found = paired_test(first, second)
    assert found.p_value == pytest.approx(2 * (1 + 8) / 2**8)
    assert found.difference == pytest.approx(6 / 18)
    differences = np.array(second) - first
    assert found.standard_error == pytest.approx(differences.std(ddof=1) / math.sqrt(18))
    assert found.test == "McNemar's exact test" and found.verdict == "equal"
    assert paired_test([0] * 8, [1] * 8).verdict == "better"
    assert paired_test([1] * 8, [0] * 8).verdict == "worse"


def test_other_scores_have_a_t_test():
    first = [0.5, 0.25, 0.0, 0.75]
    assert paired_test(first, first).p_value == 1.0
    found = paired_test(first, [0.75, 0.25, 0.5, 1.0])
    # t = 0.25 / (0.2041 / 2) = 2.449, with 3 degrees of freedom.
    assert found.p_value == pytest.approx(0.0917, abs=1e-3)
    assert found.test == "paired t test" and found.difference == pytest.approx(0.25)


def test_equal_models_differ_as_often_as_they_should():
    rng = np.random.default_rng(0)
    draws = rng.random((400, 2, 200)) < 0.4
    p_values = [paired_test(*draw.astype(float)).p_value for draw in draws]
    # The exact test is conservative.
    assert 0.01 < np.mean(np.array(p_values) < 0.05) < 0.06


def figures(task, scores):
    items = [{"filter": "none", "acc": score} for score in scores]
    mean = sum(scores) / len(scores)
    return TaskFigures(task, 1, len(scores), {"acc": mean}, {"acc": 0.1}, "acc", items)


def test_the_table():
    comparison = Comparison(
        {
            "one": [figures("a", [0.0] * 8), figures("b", [0.0, 1.0] * 4)],
            "other": [figures("a", [1.0] * 8), figures("b", [0.0, 1.0] * 4)],
        }
    )
    lines = str(comparison).splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["a", "(8)", "acc", "one", "0.0000", "±", "0.1000"],
        ["other", "1.0000", "±", "0.1000", "+1.0000", "±", "0.0000", "0.0078"],
    ]
    assert lines[-1].startswith(
        "other against one: better on 1 of 2 tasks, worse on 0, equal on 1 (p < 0.05 by McNemar"
    )
    assert comparison.to_dict()["other"]["a"]["p_value"] == pytest.approx(2 / 2**8)


def test_the_command_compares_presets(small_preset, tmp_path, capsys):
    import shutil

    other, output = tmp_path / "other", tmp_path / "scores"
    shutil.copytree(small_preset, other)
    write_rows(tmp_path / "data" / "piqa", "validation", CASES["piqa"].rows * 3)
    options = ["--tasks", "gpt3_piqa", "--task_data", str(tmp_path / "data")]
    presets = [str(small_preset), str(other)]
    command = ["evaluate", *presets, *options]
    assert main([*command, "--output", str(output), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed["models"]) == presets
    assert printed["less_the_first"][str(other)]["gpt3_piqa"]["p_value"] == 1.0
    assert json.loads((output / "results.json").read_text()) == printed
    assert (output / "scores.png").stat().st_size > 1000
    rows = [json.loads(row) for row in (output / "items_2" / "gpt3_piqa.jsonl").open()]
    assert len(rows) == 6 and len(rows[0]["resps"]) == 2
    # What is there already is kept.
    assert main([*command, "--output", str(output)]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert main(command) == 0
    assert "better on 0 of 1 tasks" in capsys.readouterr().out
    assert main(["evaluate", *presets, str(other), *options]) == 1
    assert "given twice" in capsys.readouterr().err
