"""Ray's workers: killed ones are replaced, and a killed search goes on."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from primer_tf.errors import UserError
from primer_tf.search.individual import Task
from primer_tf.search.ray_engine import RayEngine
from primer_tf.search.record import SearchRecord
from tests.search.test_trainer import CONFIG, START, TOKENS

pytestmark = pytest.mark.slow


@pytest.fixture(params=[1])
def engine(request):
    pytest.importorskip("ray")
    engine = RayEngine(CONFIG, TOKENS, workers=request.param)
    yield engine
    engine.close()


def idle_worker(engine):
    """Starts a worker, and returns its process."""
    import ray

    actor = engine._new_actor()
    engine._idle.append(actor)
    return ray.get(actor.process.remote())


def test_a_worker_killed_in_training_is_replaced(engine):
    process = idle_worker(engine)
    engine.submit(Task(1, START.to_json(), ()))
    time.sleep(1)  # Compiling alone takes longer.
    os.kill(process, signal.SIGKILL)
    task, outcome = engine.next()
    assert task.number == 1 and outcome.status == "trained" and outcome.loss > 0
    assert engine.num_pending == 0 and len(engine._idle) == 1


@pytest.mark.parametrize("engine", [2], indirect=True)
def test_each_worker_has_a_core(engine):
    cores = os.sched_getaffinity(0)
    found = [os.sched_getaffinity(idle_worker(engine)) for _ in range(2)]
    assert [len(each & cores) for each in found] == [1, 1]
    assert len(set.union(*found)) == min(2, len(cores))


def with_worker(engine, worker):
    import ray

    engine._worker = ray.remote(worker).options(num_cpus=1)


class Fatal:
    """A worker that any program kills."""

    def __init__(self, config, tokens, core):
        pass

    def process(self):
        return os.getpid()

    def train(self, task):
        os.kill(os.getpid(), signal.SIGKILL)


class Raising(Fatal):
    """A worker whose training raises."""

    def train(self, task):
        raise MemoryError("all memory is in use")


class Broken(Fatal):
    """A worker that does not start."""

    def __init__(self, config, tokens, core):
        raise ImportError("no keras here")


@pytest.mark.parametrize(
    "worker, reason", [(Fatal, "died twice: .*died"), (Raising, "died twice: all memory is in use")]
)
def test_what_kills_two_workers_is_a_failure(engine, worker, reason):
    with_worker(engine, worker)
    engine.submit(Task(2, START.to_json(), ()))
    task, outcome = engine.next()
    assert task.number == 2 and outcome.status == "failed" and re.search(reason, outcome.reason)


def test_workers_that_do_not_start_end_the_search(engine):
    with_worker(engine, Broken)
    engine.submit(Task(3, START.to_json(), ()))
    with pytest.raises(UserError, match="do not start: ImportError: no keras here. .*--resume"):
        engine.next()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999"])
def test_an_address_without_a_cluster(address):
    with pytest.raises(UserError, match=f"There is no Ray cluster at {address}: "):
        RayEngine(CONFIG, TOKENS, address=address)


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
