"""A checkpoint is there in one piece or not at all, whatever happens while it is written."""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from killing import kill_at

from primer_tf.errors import UserError
from primer_tf.files import atomic_directory, atomic_write, sole_writer
from primer_tf.training.checkpoints import FILE, Checkpoints


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
        Checkpoints(tmp_path).save(make_model(float(step)), step)

    def save():
        kill_at(moment, {"half": FILE, "os.remove": FILE}.get(moment, ""))
        Checkpoints(tmp_path).save(make_model(4.0), 4)

    assert in_child(save) == -9
    step, lines = restored(tmp_path)
    assert step in (3, 4) and not lines
    Checkpoints(tmp_path).save(make_model(4.0), 4)
    with sole_writer(tmp_path):
        pass
    assert sorted(os.listdir(tmp_path)) == [".lock", *(f"step_0000000{i}" for i in (2, 3, 4))]


def test_every_byte_of_a_checkpoint_matters(tmp_path):
    """A changed byte is found out, and the checkpoint before is taken."""
    for step in (1, 2):
        Checkpoints(tmp_path).save(make_model(float(step)), step)
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
        Checkpoints(tmp_path).save(make_model(float(step)), step)
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


def test_another_model(tmp_path):
    Checkpoints(tmp_path).save(make_model(1.0), 1)
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
