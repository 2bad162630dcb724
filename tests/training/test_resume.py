"""A resumed run ends where an uninterrupted one ends, to the last bit."""

import contextlib
import multiprocessing
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from primer_tf.cli import main
from primer_tf.models import PrimerCausalLM
from primer_tf.models.training_state import read_training_state
from primer_tf.training import run
from primer_tf.training.callbacks.stop_at_divergence import StopAtDivergence
from primer_tf.training.optimizer_of_run import optimizer_of_run
from tests.fault_injection import run_and_kill

STEPS = 4
INTERVAL = 3


@pytest.fixture(scope="module")
def arguments(small_preset, text_file):
    """Those of a run, without `--steps` and `--output`; dropout needs the random state."""
    return [
        *("train", "--preset", str(small_preset), "--data", str(text_file)),
        *("--interval", "1", "--batch_size", "2", "--sequence_length", "8", "--dropout", "0.1"),
        *("--dtype", "float32"),  # In every process, on every processor.
    ]


def primer(*arguments):
    assert main([str(argument) for argument in arguments]) == 0


def resume(output, steps=STEPS):
    primer("train", "--resume", "--output", output, "--steps", steps)


def state(output, step=STEPS):
    """Weights, slots and random state at the end, the presets' weights, and the losses."""
    with np.load(Path(output) / f"checkpoints/step_{step:08d}/variables.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    for preset in ("preset", "best"):
        with h5py.File(Path(output) / preset / "model.weights.h5") as file:
            # By number: Keras counts the models of a process in their names.
            file.visititems(
                lambda _, item: (
                    arrays.update({f"preset/{len(arrays)}": item[()]})
                    if isinstance(item, h5py.Dataset)
                    else None
                )
            )
    rows = (Path(output) / "history.csv").read_text().splitlines()
    # All but the last column, which is the speed.
    arrays["history"] = np.array([row.split(",")[:-1] for row in rows])
    return arrays


def assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array, err_msg=name)


@pytest.fixture(scope="module")
def whole(arguments, tmp_path_factory):
    """The state at the end of an uninterrupted run."""
    output = tmp_path_factory.mktemp("whole") / "[v1] a\\b?"  # a name, not a pattern
    primer(*arguments, "--steps", STEPS, "--output", output)
    return state(output)


@pytest.fixture(scope="module")
def killed(arguments, tmp_path_factory):
    """A run that SIGKILL ended while it wrote the checkpoint of its third step."""
    output = tmp_path_factory.mktemp("killed") / "run"
    # A module: beside a script, `tests/packaging` would hide the library of that name.
    command = [sys.executable, "-m", "tests.fault_injection", "half", "step_00000003", "1"]
    command += [*arguments, "--steps", str(STEPS), "--output", str(output)]
    checkout = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    partial = list((output / "checkpoints").glob(".partial-step_00000003-*/variables.npz"))
    assert len(partial) == 1
    return output


def test_killed_while_writing_a_checkpoint(killed, whole, tmp_path, capsys):
    output = shutil.copytree(killed, tmp_path / "run")
    resume(output)
    assert "Resuming at step 2." in capsys.readouterr().out
    assert_same(state(output), whole)
    assert not list(output.rglob(".partial-*"))


def test_truncated_checkpoint_falls_back_to_the_one_before(killed, whole, tmp_path, capsys):
    output = shutil.copytree(killed, tmp_path / "run")
    newest = output / "checkpoints/step_00000002/variables.npz"
    newest.write_bytes(newest.read_bytes()[:1000])
    resume(output)
    printed = capsys.readouterr().out
    assert "step_00000002 is corrupt" in printed and "trying an older one" in printed
    assert "Resuming at step 1." in printed
    assert_same(state(output), whole)


@pytest.mark.slow
def test_mixed_precision(arguments, tmp_path, capsys):
    """Keras wraps the optimizer; its state lies beside the preset all the same."""
    step = ["--steps", "1", "--dtype", "mixed_float16"]
    primer(*arguments, *step, "--output", tmp_path / "a")
    primer(*arguments, *step, "--preset", tmp_path / "a/preset", "--output", tmp_path / "b")
    assert "goes on from step 1." in capsys.readouterr().out
    assert read_training_state(tmp_path / "b/preset")[0] == 2
    loaded = PrimerCausalLM.from_preset(str(tmp_path / "b/preset"))
    assert loaded.backbone.dtype_policy.name == "float32"  # Mixed precision is for training.


@pytest.mark.slow
def test_the_rate_falls_over_the_steps_of_the_run(arguments, tmp_path, monkeypatch):
    """Not over those of the optimizer, which goes on from a preset, also after the run resumes."""
    optimizers = []

    def build(*parts):
        optimizers.append(optimizer_of_run(*parts))
        return optimizers[-1]

    monkeypatch.setattr(run, "optimizer_of_run", build)
    for output, preset in (("a", []), ("b", ["--preset", tmp_path / "a/preset"])):
        primer(*arguments, *preset, "--steps", 3, "--output", tmp_path / output)
    resume(tmp_path / "b", steps=4)
    rates = [[float(each._learning_rate(step)) for step in range(8)] for each in optimizers]
    factors = np.array(rates) / 1000**-0.5  # T5's rate, constant in the first 1,000 steps.
    assert list(factors[0]) == pytest.approx([1, 1, 2 / 3, 0, 0, 0, 0, 0])
    assert list(factors[1][3:]) == pytest.approx([1, 1, 2 / 3, 0, 0])
    assert list(factors[2][3:]) == pytest.approx([1, 1, 1, 0.5, 0])


@pytest.fixture(scope="module")
def whole_epochs(arguments, tmp_path_factory):
    """Arguments of a run that is evaluated after steps 3 and 4, and its state at the end."""
    output = tmp_path_factory.mktemp("whole_epochs") / "run"
    arguments = [*arguments, "--steps", STEPS, "--interval", INTERVAL]
    primer(*arguments, "--output", output)
    return arguments, state(output)


@contextlib.contextmanager
def signal_after(step, number):
    """Sends a signal to this process after a step of training in the block."""
    check = StopAtDivergence.on_train_batch_end

    def on_train_batch_end(self, batch, logs):
        check(self, batch, logs)
        if logs.get("step") == step:
            os.kill(os.getpid(), number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StopAtDivergence, "on_train_batch_end", on_train_batch_end)
        yield


def test_a_signal_inside_an_epoch(whole_epochs, tmp_path, capsys, monkeypatch):
    """The run ends with a checkpoint, says how to go on, and goes on exactly."""
    arguments, expected = whole_epochs
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGINT)
    with signal_after(2, signal.SIGINT):
        assert main([str(each) for each in [*arguments, "--output", "my run"]]) == 130
    assert signal.getsignal(signal.SIGINT) is handler
    printed = capsys.readouterr()
    assert "a second signal ends the run" in printed.out
    assert os.listdir("my run/checkpoints") == ["step_00000002"]
    assert read_training_state("my run/preset")[0] == 2
    assert not os.path.exists("my run/best"), "nothing has been evaluated"
    what, command = printed.err.splitlines()
    assert what.startswith(f"primer: SIGINT ended the run after step 2 of {STEPS}; checkpoint and")
    assert command == "primer train --resume --output 'my run'"
    primer(*shlex.split(command)[1:])
    assert_same(state("my run"), expected)


@pytest.mark.slow
def test_a_signal_when_an_evaluation_is_due(whole_epochs, tmp_path):
    """The evaluation is made, as in a run without the signal."""
    arguments, expected = whole_epochs
    output = tmp_path / "run"
    with signal_after(INTERVAL, signal.SIGTERM):
        assert main([str(each) for each in [*arguments, "--output", output]]) == 143
    rows = (output / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", str(INTERVAL)]
    resume(output)
    assert_same(state(output), expected)


@pytest.mark.slow
def test_a_signal_after_the_last_step(whole_epochs, tmp_path, capsys):
    arguments, expected = whole_epochs
    with signal_after(STEPS, signal.SIGINT):
        primer(*arguments, "--output", tmp_path / "run")
    assert "Last preset" in capsys.readouterr().out
    assert_same(state(tmp_path / "run"), expected)


# Python's audit events in a run's folder, from its first file to its last.
MOMENTS = [
    ("os.rename", "vocabulary.model", 1),
    ("os.rename", "run.json", 1),
    ("os.mkdir", "step_00000001", 1),
    ("half", "step_00000001", 1),
    ("os.rename", "step_00000001", 1),
    ("os.rename", "history.csv", 2),
    ("half", "step_00000002", 1),
    ("os.rename", "step_00000004", 1),
    ("os.remove", "variables.npz", 1),
    ("os.rmdir", "step_00000001", 1),
    ("os.chmod", "preset", 1),
    ("os.link", "best", 1),
    ("os.rename", "best", 1),
    ("os.rename", "learning_curve.png", 1),
    ("os.chmod", "preset", 2),
    ("os.chmod", "best", 2),
    ("os.rename", "learning_curve.png", 2),
]


@pytest.fixture(scope="module")
def processes():
    """Starts processes that have imported everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.fault_injection", "primer_tf.training.run"])
    return context


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: "-".join(map(str, moment)))
def test_killed_at(moment, arguments, processes, whole, tmp_path):
    output = tmp_path / "run"
    start = [*arguments, "--steps", str(STEPS), "--output", str(output)]
    process = processes.Process(target=run_and_kill, args=(*moment, start))
    process.start()
    process.join()
    assert process.exitcode == -9
    if (output / "run.json").exists():
        resume(output)
    else:
        primer(*start)
    assert_same(state(output), whole)


@pytest.mark.slow
def test_killed_again_and_again(arguments, processes, tmp_path):
    """SIGKILL after random times, until the run happens to reach its end."""
    steps = 150
    primer(*arguments, "--steps", steps, "--output", tmp_path / "whole")
    output, draw = tmp_path / "run", random.Random(0)
    kills = 0
    while True:
        start = [*arguments, "--output", str(output), "--steps", str(steps)]
        if (output / "run.json").exists():
            start.append("--resume")
        process = processes.Process(target=main_and_exit, args=(start,))
        before = newest_step(output)
        process.start()
        # Past the start and the compilation, unless the run is over before.
        while process.is_alive() and newest_step(output) == before:
            process.join(0.1)
        killer = threading.Timer(draw.uniform(0, 3), process.kill)
        killer.start()
        process.join()
        killer.cancel()
        assert process.exitcode in (0, -9)
        if process.exitcode == 0:
            break
        kills += 1
    assert kills >= 3
    assert_same(state(output, steps), state(tmp_path / "whole", steps))


def newest_step(output):
    folder = output / "checkpoints"
    return max(os.listdir(folder), default=None) if folder.is_dir() else None


def main_and_exit(arguments):
    sys.exit(main(arguments))
