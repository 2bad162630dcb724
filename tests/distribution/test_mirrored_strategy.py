"""Training with TensorFlow's `MirroredStrategy` on a mesh equals training on one device."""

import json
import os

import keras
import numpy as np
import pytest

from primer_tf.distribution import MeshShape
from primer_tf.distribution.make_distribution import make_distribution
from primer_tf.errors import UserError
from tests.distribution.meshes import ARCHITECTURES
from tests.distribution.run_module import run_module

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's strategies"
)


def run(request, module, *arguments):
    return run_module(request, os.environ, module, *arguments)


@pytest.mark.slow
def test_losses(request):
    """20 steps, whose batches Keras would lose if they came from an iterator."""
    one, two = (
        json.loads(run(request, "tests.distribution.train_on_hosts", mesh).splitlines()[-1])
        for mesh in ("none", "data:2")
    )
    for architecture in ARCHITECTURES:
        assert len(two[architecture]) == 20
        np.testing.assert_allclose(two[architecture], one[architecture], rtol=1e-5)


@pytest.mark.slow
def test_the_command(request, tmp_path, small_preset, text_file):
    """A run that goes on without the mesh has the history of a run on one device."""
    start = ["train", "--preset", small_preset, "--data", text_file, "--interval", "3"]
    start += ["--batch_size", "4", "--sequence_length", "16", "--dtype", "float32"]
    start += ["--linear_decay_fraction", "0"]  # The rate would depend on the length of the run.

    def rows(*arguments):
        output = arguments[arguments.index("--output") + 1]
        run(request, "primer_tf.cli", *arguments)
        lines = (output / "history.csv").read_text().splitlines()[1:]
        return np.array([[float(value) for value in line.split(",")[:-1]] for line in lines])

    one, two = tmp_path / "one", tmp_path / "two"
    expected = rows(*start, "--steps", "9", "--output", one)
    rows(*start, "--steps", "3", "--output", two, "--mesh", "data:2")
    rows("train", "--resume", "--steps", "6", "--output", two, "--mesh", "data:2")
    found = rows("train", "--resume", "--steps", "9", "--output", two)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "mesh", [MeshShape(2, fully_sharded=True), MeshShape(model=2), MeshShape(2, 2)]
)
def test_other_axes(mesh):
    with pytest.raises(UserError, match="has the axis data only; for .* set KERAS_BACKEND=jax"):
        make_distribution(mesh)


def test_several_workers(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}}')
    with pytest.raises(UserError, match="only `fit` trains.* KERAS_BACKEND=jax .* --coordinator"):
        make_distribution(MeshShape(2))
