"""GPT-3's tasks, on a few rows: `primer evaluate` and lm-eval give what NumPy gives.

`make evaluate-check` does the same with hundreds of real rows of each of 12 sets.
"""

import json
import os
import tempfile

import numpy as np
import pytest

os.environ.setdefault("HF_DATASETS_CACHE", tempfile.mkdtemp())
os.environ.setdefault("HF_HUB_OFFLINE", "1")

lm_eval = pytest.importorskip("lm_eval", reason="lm-eval is not installed: it is the extra [eval]")

from lm_eval.tasks import TaskManager  # noqa: E402

from primer_tf.cli import main  # noqa: E402
from primer_tf.cli.harness import PrimerHarnessModel  # noqa: E402
from primer_tf.evaluation.gpt3 import FOLDER  # noqa: E402
from primer_tf.models import PrimerCausalLM  # noqa: E402
from tests.evaluation.evaluate_check import NATS, compare, rows  # noqa: E402
from tests.evaluation.gpt3_cases import CASES  # noqa: E402
from tests.evaluation.slow_reference import SlowReference  # noqa: E402
from tests.evaluation.test_gpt3_tasks import write_rows  # noqa: E402
from tests.layers.reference_forward import stack  # noqa: E402

# One of each kind: choices of texts and of words, normalized, partial, a last word, a free answer.
NAMES = ["hellaswag", "boolq", "arc_easy", "winogrande", "multirc", "lambada", "triviaqa"]
LENGTH = 64


@pytest.fixture(scope="module")
def model(small_preset):
    return PrimerCausalLM.from_preset(str(small_preset))


def test_the_reference_is_that_of_the_layers(model):
    reference = SlowReference(model, LENGTH)
    ids = np.arange(3, 23)
    expected = stack(model.backbone.decoder, reference.embedding[ids][None])[0]
    np.testing.assert_allclose(reference.hidden_states(ids), expected, rtol=1e-6, atol=1e-9)


def test_both_commands_give_what_numpy_gives(model, small_preset, tmp_path, capsys):
    for name in NAMES:
        case = CASES[name]
        write_rows(tmp_path / "data" / name, "train", case.rows[:1])
        write_rows(tmp_path / "data" / name, "validation", [*case.rows[1:], *case.rows[:1]])
    tasks = [f"gpt3_{name}" for name in NAMES]
    data, output = tmp_path / "data", tmp_path / "output"
    command = ["evaluate", str(small_preset), "--tasks", ",".join(tasks), "--json"]
    assert main([*command, "--task_data", str(data), "--output", str(output)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["truncated"] > 0
    results = lm_eval.simple_evaluate(
        PrimerHarnessModel(str(small_preset)),
        tasks=tasks,
        task_manager=TaskManager(
            include_path=FOLDER, include_defaults=False, metadata={"task_data": str(data)}
        ),
        bootstrap_iters=100,
    )
    reference = SlowReference(model, LENGTH)
    for task in tasks:
        of_task = {key.split(",")[0]: x for key, x in results["results"][task].items()}
        figures = printed["tasks"][task]["figures"]
        found = compare(
            task,
            (figures, rows(output / "items_1" / f"{task}.jsonl")),
            (of_task, results["samples"][task]),
            reference,
        )
        assert found["items"] == 2 and found["nats"] < NATS and not found["wrong"], found
        assert found["texts"] == 0 and found["greedy"] == 0
