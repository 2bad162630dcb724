"""A checkpoint is there in one piece or not at all, whatever happens while it is written."""

import errno
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from primer_tf.errors import UserError
from primer_tf.files import atomic_directory, atomic_write, sole_writer
from primer_tf.models.training_state import (
    read_training_state,
    restore_training_state,
    save_training_state,
)
from primer_tf.optimizers import T5Adafactor
from primer_tf.training.checkpoints import Checkpoints
from primer_tf.training.npz_checkpoint import FILE
from tests.fault_injection import kill_at


class Variable:
    """As much of a Keras variable as a checkpoint needs."""

    def __init__(self, path, value):
        self.path, self.value = path, np.asarray(value)
        self.shape = self.value.shape

    def __array__(self, dtype=None, copy=None):
        return self.value

    def assign(self, value):
        self.value = value


def make_model(value):
    """A model whose weights and slots all hold `value`."""
    variables = [Variable("kernel", np.full((40, 5), value)), Variable("bias", np.full(5, value))]
    slots = [Variable("kernel_moment", np.full((40, 5), -value))]
    return SimpleNamespace(
        variables=variables,
        optimizer=SimpleNamespace(built=True, variables=slots),
        metrics=[],
    )


def save(directory, model, step):
    with Checkpoints(directory) as checkpoints:
        checkpoints.save(model, step)


def values(model):
    return {float(x) for v in model.variables for x in v.value.flat} | {
        -float(x) for v in model.optimizer.variables for x in v.value.flat
    }


def restored(directory):
    """Returns the newest step that can be restored, having checked that it is whole."""
    model, lines = make_model(0.0), []
    step = Checkpoints(directory).restore_newest(model, lines.append)
    assert values(model) == {float(step)}
    return step, lines


def in_child(function):
    """Runs a function in a child process and returns the signal that ended it, or 0."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


MOMENTS = ["tempfile.mkdtemp", "os.mkdir", "open", "half", "os.chmod", "os.rename", "os.listdir"]
MOMENTS += ["shutil.rmtree", "os.remove", "os.rmdir"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_saving(tmp_path, moment):
    """Step 4 replaces step 1, and is either not there or whole."""
    for step in (1, 2, 3):
        save(tmp_path, make_model(float(step)), step)

    def save_the_fourth():
        kill_at(moment, {"half": FILE, "os.remove": FILE}.get(moment, ""))
        save(tmp_path, make_model(4.0), 4)

    assert in_child(save_the_fourth) == -9
    step, lines = restored(tmp_path)
    assert step in (3, 4) and not lines
    save(tmp_path, make_model(4.0), 4)
    with sole_writer(tmp_path):
        pass
    assert sorted(os.listdir(tmp_path)) == [".lock", *(f"step_0000000{i}" for i in (2, 3, 4))]


def test_every_byte_of_a_checkpoint_matters(tmp_path):
    """A changed byte is found out, and the checkpoint before is taken."""
    for step in (1, 2):
        save(tmp_path, make_model(float(step)), step)
    file = tmp_path / "step_00000002" / FILE
    whole = file.read_bytes()
    found = 0
    for position in range(0, len(whole), 13):
        damaged = bytearray(whole)
        damaged[position] ^= 0x55
        file.write_bytes(damaged)
        step, lines = restored(tmp_path)  # never a wrong value
        found += step == 1
        assert (step == 1) == bool(lines)
    assert found > 0.8 * len(whole) / 13  # the rest are time stamps and the like


@pytest.mark.parametrize("length", [0, 1, 500, -1])
def test_truncated_or_missing(tmp_path, length):
    for step in (1, 2):
        save(tmp_path, make_model(float(step)), step)
    file = tmp_path / "step_00000002" / FILE
    file.write_bytes(file.read_bytes()[:length])
    step, lines = restored(tmp_path)
    assert step == 1
    assert len(lines) == 1 and "step_00000002 is corrupt" in lines[0]
    file.unlink()
    assert restored(tmp_path)[0] == 1
    (tmp_path / "step_00000001" / FILE).unlink()
    with pytest.raises(UserError, match="No checkpoint in .* can be read"):
        restored(tmp_path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE, None])
def test_what_is_no_damage(tmp_path, monkeypatch, number):
    """An error that may be gone the next time neither loses a checkpoint nor asks to delete it."""
    for step in (1, 2):
        save(tmp_path, make_model(float(step)), step)
    save_training_state(tmp_path, *small_optimizer())

    def fail(path):
        raise MemoryError if number is None else OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(np, "load", fail)
        reason = os.strerror(number) if number else "not enough memory"
        for read in (restored, read_training_state):
            with pytest.raises(UserError, match=f"^Cannot read .*npz: {reason}.$"):
                read(tmp_path)
    assert restored(tmp_path) == (2, [])
    (tmp_path / "training_state.npz").write_bytes(b"PK\3\4 nonsense")
    with pytest.raises(UserError, match="is damaged .*; delete it"):
        read_training_state(tmp_path)


def small_optimizer(dtype="float32", seed=None):
    """Two weights and their `T5Adafactor` in a `LossScaleOptimizer`, as mixed precision has it."""
    inner = T5Adafactor(0.01, min_dim_size_to_factor=2)
    optimizer = keras.optimizers.LossScaleOptimizer(inner)
    weights = [keras.Variable(np.zeros(s), dtype=dtype, name=n) for n, s in SMALL.items()]
    optimizer.build(weights)
    if seed is not None:
        rng = np.random.default_rng(seed)
        for variable in [*weights, *optimizer.variables]:
            variable.assign(100 * rng.random(variable.shape))
    return weights, optimizer


SMALL = {"kernel": (3, 4), "bias": (4,)}


def numbers(variables):
    return [keras.ops.convert_to_numpy(keras.ops.cast(v, "float32")) for v in variables]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_dtype_survives(tmp_path, dtype):
    """Weights, moments, loss scale and counts, to the last bit."""
    models = [
        SimpleNamespace(variables=weights, optimizer=optimizer, metrics=[])
        for weights, optimizer in (small_optimizer(dtype, seed=0), small_optimizer(dtype))
    ]
    save(tmp_path, models[0], 1)
    assert Checkpoints(tmp_path).restore_newest(models[1]) == 1
    saved, restored = (numbers([*m.variables, *m.optimizer.variables]) for m in models)
    for expected, actual in zip(saved, restored, strict=True):
        assert expected.any()
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("accumulation", [None, 3])
def test_state_of_a_wrapped_optimizer(tmp_path, accumulation):
    """What lies beside a preset is of the Adafactor inside, and goes back into it."""
    weights, optimizer = small_optimizer(seed=0)
    inner = optimizer.inner_optimizer
    inner.iterations.assign(7)
    save_training_state(tmp_path, weights, optimizer)
    step, slots = read_training_state(tmp_path)
    assert step == 7
    assert sorted(slots) == [("bias", "v"), ("kernel", "vc"), ("kernel", "vr")]
    other = T5Adafactor(0.01, min_dim_size_to_factor=2, gradient_accumulation_steps=accumulation)
    wrapped = keras.optimizers.LossScaleOptimizer(other)
    assert restore_training_state(tmp_path, weights, wrapped) == 7
    assert int(other.iterations) == 7
    for weight in weights:
        for kind, slot in other.slots(weight).items():
            (expected,) = numbers([inner.slots(weight)[kind]])
            np.testing.assert_array_equal(numbers([slot])[0], expected)


def test_another_model(tmp_path):
    save(tmp_path, make_model(1.0), 1)
    other = make_model(0.0)
    other.variables[1] = Variable("bias", np.zeros(6))
    with pytest.raises(UserError, match=r"expected model/0001/bias of shape \(6,\), found \(5,\)"):
        Checkpoints(tmp_path).restore_newest(other)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    with atomic_directory(tmp_path / "folder") as folder:
        (folder / "file").write_text("old")
    with pytest.raises(OSError), atomic_directory(tmp_path / "folder") as folder:
        (folder / "file").write_text("new")
        raise OSError
    atomic_write(tmp_path / "file", "old")
    with pytest.raises(TypeError):
        atomic_write(tmp_path / "file", 5)
    assert (tmp_path / "folder" / "file").read_text() == "old"
    assert (tmp_path / "file").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_one_writer_at_a_time(tmp_path):
    """The lock of a killed process is free, and so is the space of what it left half-written."""
    code = (
        "import sys; from primer_tf.files import sole_writer\n"
        "with sole_writer(sys.argv[1]): print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        (tmp_path / "sub").mkdir()
        shutil.copytree(tmp_path / "sub", tmp_path / "sub" / ".partial-x")
        (tmp_path / ".partial-y").write_text("half")
        with pytest.raises(UserError, match="Another process is writing"), sole_writer(tmp_path):
            pass
        other.kill()
    with sole_writer(tmp_path):
        assert sorted(os.listdir(tmp_path)) == [".lock", "sub"]
        assert not os.listdir(tmp_path / "sub")


def test_a_folder_with_a_writer_of_its_own_is_left_alone(tmp_path):
    """Of two runs, one may lie in a folder that the other is given."""
    with sole_writer(tmp_path / "runs" / "mine"):
        partial = tmp_path / "runs" / "mine" / ".partial-x"
        partial.touch()
        with sole_writer(tmp_path):
            assert partial.exists()
