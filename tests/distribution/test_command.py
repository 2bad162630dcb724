"""`primer train --mesh`."""

import csv

import keras
import numpy as np
import pytest

from tests.cli.tiny_runs import check, train
from tests.distribution.run_module import run_module
from tests.distribution.several_hosts import environment


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="its error")
def test_an_axis_that_tensorflow_lacks(tmp_path, capsys, text_file):
    status = train(tmp_path / "out", text_file, "--mesh", "model:4")
    check(capsys, status, "On TensorFlow a mesh has the axis data only", "set KERAS_BACKEND=jax")
    assert not (tmp_path / "out").exists()


def test_unknown_axis(tmp_path, capsys, text_file):
    check(capsys, train(tmp_path / "out", text_file, "--mesh", "pipe:4"), "unknown axis 'pipe'")


def test_batch_that_the_devices_do_not_divide(tmp_path, capsys, text_file, monkeypatch):
    monkeypatch.setattr("primer_tf.training.run.num_replicas", lambda: 4)
    status = train(tmp_path / "out", text_file, "--batch_size", "6")
    check(capsys, status, "batch_size 6 cannot be split evenly over 4 devices")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_runs_are_equal_and_go_on_elsewhere(tmp_path, small_preset, text_file, request):
    """A run that changes its mesh has the losses of a run on one device."""

    def run(output, devices, *options):
        arguments = ("train", "--output", tmp_path / output, *options)
        run_module(request, environment(devices), "primer_tf.cli", *arguments)
        with open(tmp_path / output / "history.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [[float(row[name]) for name in ("step", "loss", "validation_loss")] for row in rows]

    start = ["--preset", small_preset, "--data", text_file, "--interval", "2"]
    start += ["--batch_size", "4", "--sequence_length", "16"]
    start += ["--linear_decay_fraction", "0"]  # The rate would depend on the length of the run.
    expected = run("one", 1, *start, "--steps", "4")
    run("several", 4, *start, "--steps", "2", "--mesh", "fsdp:4")
    found = run("several", 4, "--resume", "--steps", "4", "--mesh", "data:2,model:2")
    np.testing.assert_allclose(found, expected, rtol=1e-5)
