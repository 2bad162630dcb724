"""Ray's workers: killed ones are replaced, and a killed search goes on."""

import os
import signal
import subprocess
import sys
import time

import pytest

from primer_tf.search.individual import Task
from primer_tf.search.ray_engine import RayEngine
from primer_tf.search.record import SearchRecord
from tests.search.test_trainer import CONFIG, START, TOKENS

pytestmark = pytest.mark.slow


@pytest.fixture
def engine():
    pytest.importorskip("ray")
    engine = RayEngine(CONFIG, TOKENS, workers=1)
    yield engine
    engine.close()


def kill_worker(engine):
    """Kills the process of the worker that trains."""
    import ray

    (running,) = engine._running.values()
    ray.kill(running.actor)


def test_a_killed_worker_is_replaced(engine):
    import ray

    actor = engine._new_actor()
    process = ray.get(actor.process.remote())
    engine._idle.append(actor)
    engine.submit(Task(1, START.to_json(), ()))
    os.kill(process, signal.SIGKILL)
    task, outcome = engine.next()
    assert task.number == 1 and outcome.status == "trained"


def test_what_kills_two_workers_is_a_failure(engine):
    engine.submit(Task(2, START.to_json(), ()))
    start = engine._start

    def start_and_kill(task, tries):
        start(task, tries)
        kill_worker(engine)

    engine._start = start_and_kill
    kill_worker(engine)
    task, outcome = engine.next()
    assert task.number == 2 and outcome.status == "failed" and "died twice" in outcome.reason


def search(folder, budget, *more):
    options = "--hidden_dim 16 --num_layers 1 --num_heads 2 --sequence_length 8 --batch_size 4"
    options += " --steps 7 --vocabulary_size 300 --validation_sequences 16 --population 4"
    options += " --tournament 2 --hurdles 1"
    return [
        *[sys.executable, "-m", "primer_tf.cli", "search", "--output", str(folder)],
        *["--budget", str(budget), "--workers", "2", *options.split(), *more],
    ]


def test_a_killed_search_goes_on(tmp_path, text_file):
    folder = tmp_path / "search"
    with subprocess.Popen(search(folder, 50, "--data", str(text_file))) as process:
        deadline, ended = time.monotonic() + 300, []
        while len(ended) < 3 and time.monotonic() < deadline:
            time.sleep(1)
            if (folder / "individuals.sqlite").exists():
                record = SearchRecord(folder)
                ended = [e for e in record.individuals("evolution") if e.outcome.spent]
                record.close()
        process.send_signal(signal.SIGKILL)
    assert len(ended) >= 3
    budget = sum(each.outcome.spent for each in ended) + 1
    resume = [*search(folder, budget)[:10], "--resume"]
    subprocess.run(resume, check=True)
    record = SearchRecord(folder)
    after = [e for e in record.individuals("evolution") if e.outcome.spent]
    record.close()
    assert after[: len(ended)] == ended and len(after) > len(ended)
