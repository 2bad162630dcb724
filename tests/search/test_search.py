"""The search around the training: budget, record, equal programs, resuming, being killed."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from primer_tf.errors import UserError
from primer_tf.programs import Program, infer_graph
from primer_tf.search import search as search_module
from primer_tf.search.config import SearchConfig
from primer_tf.search.individual import Outcome
from primer_tf.search.record import SearchRecord
from primer_tf.search.search import run_search
from primer_tf.search.tokens import Tokens
from primer_tf.search.work import affordable_steps
from tests.search.fake_engine import FakeEngine, planted
from tests.search.planted import WITHIN, individuals_until_both


@pytest.fixture(autouse=True)
def no_text(monkeypatch):
    tokens = Tokens(np.arange(3), np.arange(3))
    monkeypatch.setattr(search_module, "prepare_tokens", lambda config, directory: tokens)


def config(**kwargs):
    return SearchConfig(**{"data": "none", "population": 10, "tournament": 3, **kwargs})


def run(folder, budget, engine=None, **kwargs):
    engine = engine or FakeEngine()
    progress = run_search(
        folder, budget, config(**kwargs), make_engine=lambda config, tokens: engine
    )
    record = SearchRecord(folder)
    individuals = record.individuals("evolution")
    record.close()
    return progress, individuals, engine


def test_a_search(tmp_path):
    progress, individuals, engine = run(tmp_path, 20)
    assert progress.spent == 20 and len(engine.trained) == 20
    assert individuals[0].edit == "the start" and individuals[0].parent is None
    assert progress.counts["trained"] == 20
    numbers = [each.number for each in individuals]
    assert len(set(numbers)) == len(numbers)
    for each in individuals:
        if each.outcome.status == "rejected":
            assert each.outcome.reason
        elif each.number:
            assert each.parent in numbers and each.edit


def test_equal_programs_are_trained_once(tmp_path):
    _, individuals, engine = run(tmp_path, 40, operations="square,tanh", seed=2)
    statuses = [each.outcome.status for each in individuals]
    assert "equal" in statuses
    trained = {}
    for each in individuals:
        if each.outcome.status == "trained":
            # Those that compute the same differ in cost, and so in steps.
            steps = affordable_steps(config(), infer_graph(Program.from_json(each.program), 64))
            for other, _ in trained.setdefault(each.fingerprint, []):
                assert abs(steps - other) > 0.04 * other
            trained[each.fingerprint].append((steps, each.outcome.loss))
        elif each.outcome.status == "equal":
            assert each.outcome.loss in [loss for _, loss in trained[each.fingerprint]]
            assert each.outcome.spent == 0


def test_it_resumes_where_it_was(tmp_path):
    run(tmp_path, 6)
    progress, individuals, engine = run(tmp_path, 9)
    assert progress.spent == 9 and len(engine.trained) == 3
    assert sum(each.edit == "the start" for each in individuals) == 1
    again, _, engine = run(tmp_path, 9)
    assert again.spent == 9 and not engine.trained


def test_another_search_is_refused(tmp_path):
    run(tmp_path, 2)
    with pytest.raises(UserError, match="holds another search"):
        run(tmp_path, 2, steps=7)


def test_failures_are_recorded_and_do_not_breed(tmp_path):
    def train(task):
        if task.number and task.number % 2:
            return Outcome("failed", reason="its training loss is NaN", spent=0.5)
        return planted(task)

    _, individuals, _ = run(tmp_path, 10, FakeEngine(train))
    failed = {each.number for each in individuals if each.outcome.status == "failed"}
    assert failed and not failed & {each.parent for each in individuals}


def test_workers_are_kept_busy(tmp_path):
    engine = FakeEngine(num_workers=3)
    pending = []
    whole = engine.next
    engine.next = lambda: (pending.append(engine.num_pending), whole())[1]
    run(tmp_path, 9, engine)
    assert pending[0] == 1  # The start comes first.
    assert pending[1:9] == [3] * 8


@pytest.mark.slow
def test_evolution_finds_both_planted_edits(tmp_path):
    counts = [
        individuals_until_both(tmp_path / str(seed), "evolution", seed, WITHIN) for seed in range(5)
    ]
    assert sum(count is not None for count in counts) >= 4, counts


CHILD = """
import sys, time
from unittest import mock
from tests.search import test_search
from primer_tf.search.work import affordable_steps
from tests.search.fake_engine import FakeEngine, planted
from primer_tf.search import search
from primer_tf.search.tokens import Tokens

def train(task):
    time.sleep(0.05)
    print(task.number, flush=True)
    return planted(task)

with mock.patch.object(search, "prepare_tokens", lambda config, directory: Tokens(None, None)):
    search.run_search(
        sys.argv[1], 1000, test_search.config(), make_engine=lambda c, t: FakeEngine(train)
    )
"""


def test_a_killed_search_loses_only_what_was_in_training(tmp_path):
    folder, ended = tmp_path / "search", []
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, folder], stdout=subprocess.PIPE, text=True
    ) as child:
        for _ in range(5):
            ended.append(int(child.stdout.readline()))
        time.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
    record = SearchRecord(folder)
    recorded = [e.number for e in record.individuals("evolution") if e.outcome.spent]
    record.close()
    assert recorded[:4] == ended[:4]
    progress, individuals, engine = run(folder, len(recorded) + 3)
    assert len(engine.trained) == 3 and progress.spent == len(recorded) + 3
