"""Runs that train at once measure what each measures alone, in Keras' `fit`."""

import dataclasses

import keras
import numpy as np
import pytest

from primer_tf.data.vocabulary import train_vocabulary
from primer_tf.errors import UserError
from primer_tf.files import atomic_write
from primer_tf.studies.run_record import read_record, record_path
from primer_tf.studies.study import Study
from primer_tf.studies.vectorized_training import train_vectorized
from primer_tf.studies.worker import VOCABULARY, train_run, train_runs
from tests.sample_text import SENTENCES

on_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX alone can vectorize")
SMALL = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "head_dim": 8, "intermediate_dim": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    (folder / "text.txt").write_text("\n".join([*SENTENCES] * 20))
    atomic_write(folder / VOCABULARY, train_vocabulary(SENTENCES, 300))
    return folder


def make_study(folder, **training):
    return Study(
        title="A test",
        kind="compare",
        models={name: {"preset": f"tiny_{name}", **SMALL} for name in ("primer_ez", "primer")},
        baseline="primer_ez",
        training={
            "data": str(folder / "text.txt"),
            "vocabulary_size": 300,
            "batch_size": 2,
            "sequence_length": 8,
            "interval": 3,
            "linear_decay_fraction": 0.5,
            **training,
        },
        budget={"unit": "steps", "amount": 8},
        seeds=(0, 1),
        lengths=(0.5, 1.0),
    )


@on_jax
@pytest.mark.parametrize(
    "training",
    [
        {},
        {
            "optimizer": "adamw",
            "schedule": "cosine",
            "warmup_steps": 2,
            "linear_decay_fraction": None,
            "ema_momentum": 0.9,
            "gradient_accumulation_steps": 2,
            "dropout": 0.1,
            "label_smoothing": 0.1,
        },
    ],
    ids=["T5", "AdamW"],
)
def test_runs_at_once_measure_what_they_measure_alone(folder, training):
    study = make_study(folder, **training)
    runs = [run for run in study.runs() if run.model == "primer_ez"]
    runs[1] = dataclasses.replace(runs[1], learning_rate_scale=0.5)
    assert {run.steps for run in runs} == {4, 8} and {run.seed for run in runs} == {0, 1}
    train_runs(study, runs, folder)
    at_once = {run: read_record(record_path(folder, run)) for run in runs}
    for run in runs:
        train_run(study, run, folder)
        alone = read_record(record_path(folder, run))
        curve, other = alone.pop("curve"), at_once[run].pop("curve")
        assert curve["step"] == [*range(3, run.steps, 3), run.steps]
        for name in curve:
            np.testing.assert_allclose(other[name], curve[name], rtol=2e-5, err_msg=name)
        for record in (alone, at_once[run]):
            del record["tokens_per_second"]
        assert at_once[run] == alone


@on_jax
def test_a_run_that_diverges(folder):
    study = make_study(folder, z_loss=1e38)
    runs = [run for run in study.runs() if run.model == "primer"]
    train_runs(study, runs, folder)
    for run in runs:
        record = read_record(record_path(folder, run))
        assert record["status"] == "diverged"
        assert record["message"].startswith(f"{run.name}: Training has diverged: the training loss")
        assert record["message"].endswith("at step 1.") and record["curve"]["step"] == []


@on_jax
def test_runs_must_be_alike(folder):
    study = make_study(folder)
    configs = [study.config(run, folder / VOCABULARY) for run in study.runs()]
    with pytest.raises(UserError, match="may differ in preset, steps, seed"):
        train_vectorized(configs)
    with pytest.raises(UserError, match="leave max_restarts out"):
        train_vectorized([dataclasses.replace(configs[0], max_restarts=1)])


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="of the other backends")
def test_another_backend_is_refused(folder):
    study = make_study(folder)
    with pytest.raises(UserError, match="KERAS_BACKEND=jax"):
        train_vectorized([study.config(run, folder / VOCABULARY) for run in study.runs()[:1]])
