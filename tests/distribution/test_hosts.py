"""Training on several hosts: what they agree on, and how they end together.

Two hosts are two processes, whose devices JAX connects by gloo.
"""

import functools
import io
import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import h5py
import keras
import numpy as np
import pytest

from primer_tf.distribution import lost_host
from primer_tf.distribution.hosts import Hosts
from primer_tf.distribution.start_hosts import start_hosts
from primer_tf.errors import UserError
from tests.cli.tiny_runs import check, train
from tests.distribution.meshes import ARCHITECTURES
from tests.distribution.several_hosts import ends, environment, errors_of, free_port, start

ON_HOSTS = {"data:2": 1, "model:2": 1, "data:2,model:2": 2, "fsdp:4": 2}
MESH, DEVICES = "fsdp:2,model:2", 2  # Every weight is split over both hosts.


class Store:
    """A key-value store as that of JAX, in one process."""

    def __init__(self):
        self.values, self.changed = {}, threading.Condition()

    def key_value_set(self, key, value):
        with self.changed:
            if key in self.values:
                raise ValueError("ALREADY_EXISTS")
            self.values[key] = value
            self.changed.notify_all()

    def blocking_key_value_get(self, key, milliseconds):
        with self.changed:
            assert self.changed.wait_for(lambda: key in self.values, 10)
            return self.values[key]

    def key_value_dir_get(self, folder):
        with self.changed:
            return [item for item in self.values.items() if item[0].startswith(f"{folder}/")]


def on_three(work):
    """Calls `work` for three hosts at a time; returns what they return or raise."""
    store, results = Store(), [None] * 3

    def call(index):
        try:
            results[index] = work(Hosts(index, 3, store))
        except UserError as error:
            results[index] = str(error)

    threads = [threading.Thread(target=call, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_equal_values():
    def work(hosts):
        hosts.check_equal(a=1, b=None)
        hosts.check_equal()
        return "equal"

    assert on_three(work) == ["equal"] * 3


def test_different_values():
    found = on_three(lambda hosts: hosts.check_equal(a=1, b="x" if hosts.index < 2 else "y"))
    assert len(set(found)) == 1
    assert found[0].startswith("The hosts disagree: b is 'x' on host 0 and 'y' on host 2; start")


def test_a_host_that_fails_before_the_others():
    def work(hosts):
        if hosts.index == 1:
            return hosts.report_failure(UserError("No such data file: a.txt."))
        return hosts.check_equal(a=1)

    expected = "Host 1 has ended: No such data file: a.txt."
    assert on_three(work) == [expected, None, expected]


@pytest.mark.parametrize("signals", [{1: 3}, {0: 5, 1: 5, 2: 5}, {0: 2, 2: 3}])
def test_all_stop_at_the_same_step(signals):
    """The signal of the fastest host decides, whatever the others have received."""
    barrier = threading.Barrier(3)

    def work(hosts):
        for step in range(1, 10):
            barrier.wait()  # A step needs all hosts.
            number = hosts.index + 1 if step >= signals.get(hosts.index, 99) else None
            agreed = hosts.agree_to_stop(step, number)
            if agreed:
                return step, agreed
        return None

    (found,) = set(on_three(work))
    assert found[0] == min(signals.values()) + 1
    assert signals[found[1] - 1] == min(signals.values())


def test_one_host_decides_alone():
    assert Hosts().agree_to_stop(3, None) is None
    assert Hosts().agree_to_stop(3, 15) == 15


# As JAX prints it when the first host has ended.
OF_JAX = """\
E1126 11:10:18.430569    8335 coordination_service_agent.cc:289] Polled an error from
F1126 11:10:18.430574    8335 client.h:80] Terminating process because the JAX distributed service
Additional GRPC error information from remote target coordination_service while calling
*** Check failure stack trace: ***
    @     0x7f84ada40634  absl::lts_20260107::log_internal::LogMessage::SendToLog()
"""


@pytest.mark.parametrize(
    "printed, expected",
    [
        ("a warning\n", "a warning\n"),
        (OF_JAX, f"primer: error: {lost_host.LOST}\n"),
        (f"before\n{OF_JAX}", f"before\nprimer: error: {lost_host.LOST}\n"),
        # Python was faster.
        (f"primer: error: a\n{OF_JAX}", "primer: error: a\n"),
        (f"{OF_JAX}primer: error: a\n", "primer: error: a\n"),
    ],
)
def test_one_line_about_a_lost_host(printed, expected):
    output = io.StringIO()
    lost_host.copy_lines(io.StringIO(printed), output)
    assert output.getvalue() == expected


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="the error of other backends")
def test_another_backend():
    with pytest.raises(UserError, match="set KERAS_BACKEND=jax. On TensorFlow only `fit` trains"):
        start_hosts("10.0.0.1:1234", 2, 0)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--num_hosts", "2"], "--num_hosts and --host need --coordinator"),
        (["--coordinator", "a:1"], "Several hosts need --mesh"),
    ],
)
def test_arguments_that_do_not_go_together(tmp_path, capsys, text_file, arguments, words):
    check(capsys, train(tmp_path / "out", text_file, *arguments), words)


@pytest.fixture(scope="module")
def losses(request):
    """A function from a mesh to the losses of each host, and the losses of one device."""

    @functools.cache
    def losses(mesh):
        script = [sys.executable, "-m", "tests.distribution.train_on_hosts", mesh]
        port, places = str(free_port()), [[]]
        if mesh != "none":
            places = [[port, "0"], [port, "1"]]
        processes = [
            subprocess.Popen(
                [*script, *place],
                cwd=request.config.rootpath,
                env=environment(ON_HOSTS.get(mesh, 1)),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for place in places
        ]
        results = ends(processes)
        assert all(status == 0 for status, _, _ in results), results
        return [json.loads(lines[-1]) for _, lines, _ in results]

    return losses


@pytest.mark.slow
@pytest.mark.parametrize("mesh", ON_HOSTS)
def test_losses(losses, mesh):
    (one,) = losses("none")
    for found in losses(mesh):
        for architecture in ARCHITECTURES:
            assert len(found[architecture]) == 20
            np.testing.assert_allclose(found[architecture], one[architecture], rtol=1e-5)


STEPS, INTERVAL = 15, 3
KILLS = 20


@pytest.fixture(scope="module")
def arguments(small_preset, text_file):
    return [
        *("--preset", small_preset, "--data", text_file, "--steps", STEPS),
        *("--interval", INTERVAL),
        *("--batch_size", "4", "--sequence_length", "16", "--dropout", "0.1"),
    ]


@pytest.fixture(scope="module")
def whole(arguments, tmp_path_factory):
    """The results of a run on two hosts that nothing interrupts, and what each printed."""
    output = tmp_path_factory.mktemp("whole") / "run"
    results = ends(start([*arguments, "--mesh", MESH, "--output", output], DEVICES))
    assert [status for status, _, _ in results] == [0, 0], results
    return output, results


def rows_of(output):
    """The columns of a run's history but the speed, by row."""
    rows = (output / "history.csv").read_text().splitlines()[1:]
    return np.array([[float(value) for value in row.split(",")[:-1]] for row in rows])


def weights_of(output):
    arrays = []
    with h5py.File(output / "preset/model.weights.h5") as file:
        file.visititems(
            lambda _, item: arrays.append(item[()]) if isinstance(item, h5py.Dataset) else None
        )
    return arrays


@pytest.mark.slow
def test_a_run_is_that_of_one_device(whole, arguments, tmp_path):
    output, ((_, printed, _), (_, nothing, _)) = whole
    assert nothing == [] and any("Last preset" in line for line in printed)
    command = [sys.executable, "-m", "primer_tf.cli", "train", *map(str, arguments)]
    one = tmp_path / "one"
    subprocess.run([*command, "--output", one], env=environment(1), check=True)
    np.testing.assert_allclose(rows_of(output), rows_of(one), rtol=1e-5)
    for found, expected in zip(weights_of(output), weights_of(one), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def when_printed(process, text):
    """Waits until a process prints a line with a text."""
    assert any(text in line for line in process.stdout), text


def interrupted(arguments, output, host, number):
    """Sends a signal to one of two hosts after the first evaluation; returns how both end."""
    processes = start([*arguments, "--mesh", MESH, "--output", output], DEVICES)
    when_printed(processes[0], f"step {INTERVAL}/")
    processes[host].send_signal(number)
    return ends(processes)


def resumed(output):
    results = ends(start(["--resume", "--mesh", MESH, "--output", output], DEVICES))
    assert [status for status, _, _ in results] == [0, 0], results
    return results


@pytest.mark.slow
@pytest.mark.parametrize("host", [0, 1])
def test_sigterm_on_one_host(host, whole, arguments, tmp_path):
    """Both hosts end after the same step, with a checkpoint."""
    output = tmp_path / "run"
    longer = [*arguments, "--steps", "2000"]
    results = interrupted(longer, output, host, signal.SIGTERM)
    assert [status for status, _, _ in results] == [143, 143], results
    messages = [errors_of(result)[0] for result in results]
    assert messages[0] == messages[1] and "SIGTERM ended the run after step" in messages[0]


@pytest.mark.slow
@pytest.mark.parametrize("host", [0, 1])
def test_a_host_that_dies(host, whole, arguments, tmp_path):
    """The other one ends with one line, and the restarted run as if nothing had happened."""
    output = tmp_path / "run"
    results = interrupted(arguments, output, host, signal.SIGKILL)
    assert results[host][0] == -signal.SIGKILL
    assert results[1 - host][0] != 0
    assert errors_of(results[1 - host]) == [f"primer: error: {lost_host.LOST}"]
    assert not any("stack trace" in line for line in results[1 - host][2])
    resumed(output)
    assert_same(output, whole[0])


def assert_same(output, expected):
    """The same history and weights, to the last bit."""
    np.testing.assert_array_equal(rows_of(output), rows_of(expected))
    for one, other in zip(weights_of(output), weights_of(expected), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_killed_again_and_again(arguments, tmp_path):
    """SIGKILL of one host or both at random moments after a checkpoint of each start."""
    steps, draw = ["--steps", 300], random.Random(0)
    command = [*arguments, *steps, "--mesh", MESH]
    ends(start([*command, "--output", tmp_path / "whole"], DEVICES))
    output, kills = tmp_path / "run", 0
    while kills < KILLS:
        again = ["--resume", *steps, "--mesh", MESH] if (output / "run.json").exists() else command
        before = newest_checkpoint(output)
        processes = start([*again, "--output", output], DEVICES)
        while newest_checkpoint(output) == before and processes[0].poll() is None:
            time.sleep(0.1)
        time.sleep(draw.uniform(0, 1))
        if all(process.poll() is None for process in processes):
            for host in draw.choice([(0,), (1,), (0, 1)]):
                processes[host].kill()
            kills += 1
        if [status for status, _, _ in ends(processes)] == [0, 0]:
            break
    assert kills >= KILLS // 2
    resumed(output)
    assert_same(output, tmp_path / "whole")


def newest_checkpoint(output):
    return max((path.name for path in output.glob("checkpoints/step_????????")), default=None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra, message",
    [
        (["--batch_size", "8"], "The hosts disagree: batch_size is 4 on host 0 and 8 on host 1"),
        (["--data", "nowhere.txt"], "Host 1 has ended: No such data file: nowhere.txt."),
    ],
)
def test_hosts_that_disagree(extra, message, arguments, tmp_path):
    output = tmp_path / "run"
    command = [*arguments, "--mesh", MESH, "--output", output]
    results = ends(start(command, DEVICES, extra=((), extra)))
    assert [status for status, _, _ in results] == [1, 1]
    (first,), (second,) = map(errors_of, results)
    assert message in first and second.startswith("primer: error: ")
    assert not output.exists()


@pytest.mark.slow
def test_hosts_with_different_text(arguments, tmp_path, text_file):
    """The same name, but another content: as when a copy is old."""
    data = [tmp_path / host / "text.txt" for host in ("a", "b")]
    for path in data:
        path.parent.mkdir()
        shutil.copy(text_file, path)
    data[1].write_text("Another text. " * 1000)
    processes = start(
        [*arguments, "--mesh", MESH, "--output", tmp_path / "run", "--data", "text.txt"],
        DEVICES,
        folders=[path.parent for path in data],
    )
    for result in ends(processes):
        (line,) = errors_of(result)
        assert "The hosts disagree: tokens is" in line
