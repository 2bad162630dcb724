"""Runs that train together have the losses of runs that train alone."""

import dataclasses
import json
import os
import subprocess
import sys

import keras
import pytest

from primer_tf.data.vocabulary_sample import vocabulary_of_text
from primer_tf.errors import UserError
from primer_tf.files import atomic_write
from primer_tf.studies.run_record import read_record, record_path
from primer_tf.studies.study_file import write_study
from primer_tf.studies.worker import VOCABULARY, train_runs
from primer_tf.tasks.text import TextSource
from tests.studies.fake_runs import compare_study


@pytest.fixture
def study(tmp_path, text_file):
    sizes = {"vocabulary_size": 300, "batch_size": 2, "sequence_length": 16, "interval": 2}
    study = compare_study(
        training={"data": str(text_file), "linear_decay_fraction": 0.5, **sizes},
        budget={"unit": "steps", "amount": 4},
        lengths=[0.5, 1.0],
        seeds=[0, 1],
    )
    write_study(study, tmp_path)
    atomic_write(tmp_path / VOCABULARY, vocabulary_of_text(TextSource(str(text_file)), 300))
    return study


def curves_of(study, folder, jobs):
    """Returns the losses of runs, trained on JAX in a process for each job."""
    for job in jobs:
        what = json.dumps([dataclasses.asdict(run) for run in job])
        reader, writer = os.pipe()
        subprocess.run(
            [sys.executable, "-m", "primer_tf.studies.worker", str(folder), what, str(reader)],
            env={**os.environ, "KERAS_BACKEND": "jax"},
            pass_fds=[reader],
            check=True,
        )
        os.close(reader)
        os.close(writer)
    records = [read_record(record_path(folder, run)) for job in jobs for run in job]
    for job in jobs:
        for run in job:
            record_path(folder, run).unlink()
    return [record["curve"] for record in records]


@pytest.mark.slow
def test_losses_are_those_of_single_runs(study, tmp_path):
    """The runs differ in seed, learning rate and length."""
    one, *others = [run for run in study.runs() if run.model == "primer_ez"]
    runs = [dataclasses.replace(one, learning_rate_scale=2.0), *others[:2]]
    assert len({(run.steps, run.seed) for run in runs}) == 3
    together = curves_of(study, tmp_path, [runs])
    alone = curves_of(study, tmp_path, [[run] for run in runs])
    for curve, expected in zip(together, alone, strict=True):
        assert curve["step"] == expected["step"]
        for name in ("loss", "validation_loss", "bits_per_byte"):
            assert curve[name] == pytest.approx(expected[name], rel=2e-5)


def test_other_backends_are_refused(study, tmp_path):
    if keras.backend.backend() == "jax":
        pytest.skip("This is the backend that trains runs together.")
    with pytest.raises(UserError, match="set KERAS_BACKEND=jax"):
        train_runs(study, study.runs(), tmp_path)
