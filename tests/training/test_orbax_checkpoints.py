"""Checkpoints that JAX writes: split over devices, whole, and read by every backend.

On four virtual devices, in a process of its own, because JAX counts its devices once.
"""

import json
import os
import subprocess
import sys

import keras
import pytest

from primer_tf.errors import UserError
from primer_tf.training import orbax_checkpoint
from primer_tf.training.checkpoints import Checkpoints
from tests.training.orbax_checkpoints import MESHES, is_whole, make_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("orbax") / "checkpoints"


@pytest.fixture(scope="module")
def results(folder, request):
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.orbax_checkpoints", str(folder)],
        cwd=request.config.rootpath,
        env={**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("mesh", MESHES)
def test_other_devices(results, mesh):
    """Saved on 2x2 devices; the kernel is split along the axis that it has on the new mesh."""
    spec = None if mesh == "none" else [None, "model"]
    assert results[mesh] == [2, True, spec, []]


def test_what_a_killed_process_left_is_removed(results):
    assert not results["unfinished"]


def test_every_file_is_verified(results):
    """A changed byte of any array is found out, and the checkpoint before is taken."""
    undamaged = [name for name, (step, *_) in results["damaged"].items() if step == 2]
    # The time of the commit, and an empty mark of Orbax.
    assert sorted(undamaged) == ["_CHECKPOINT_METADATA", "commit_success.txt"]
    assert all(whole for _, whole, *_ in results["damaged"].values())
    lines = [lines for step, _, _, lines in results["damaged"].values() if step == 1]
    assert len(lines) > 5 and all("step_00000002 is corrupt" in line for (line,) in lines)


def test_a_folder_that_cannot_be_written(results):
    assert "Not a directory" in results["error"]


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="for the other backends")
def test_another_backend(results, folder):
    """A run that was started on JAX goes on with another backend."""
    model = make_model(0)
    assert Checkpoints(folder).restore_newest(model) == 2
    assert is_whole(model)


def test_without_orbax(results, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(UserError, match=r"written by JAX; .*pip install 'primer_tf\[jax\]'"):
        orbax_checkpoint.read(folder / "step_00000002", {})
