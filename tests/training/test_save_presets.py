"""The presets of a run: whole at any moment, the last one and the best one."""

import ctypes
import os
import threading
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from primer_tf.files import atomic_directory
from primer_tf.models import PrimerCausalLM
from primer_tf.models.training_state import read_training_state
from primer_tf.optimizers import T5Adafactor
from primer_tf.training.callbacks.save_presets import SavePresets


@pytest.fixture
def run(small_preset, tmp_path):
    """A run whose weights all hold the number of the step, and which finds the given losses."""
    task = PrimerCausalLM.from_preset(small_preset)
    task.compile(optimizer=T5Adafactor(0.01))
    task.optimizer.build(task.trainable_variables)
    history = SimpleNamespace(rows=[])
    presets = SavePresets(task, tmp_path, history)
    presets.set_model(task)

    def run(loss, step=None):
        history.rows.append({"step": len(history.rows) + 1, "validation_loss": loss})
        step = step or len(history.rows)
        for weight in task.weights:
            weight.assign(np.full(weight.shape, step))
        task.optimizer.iterations.assign(step)
        presets.on_epoch_end(0, {"step": step})

    return run


def step_of(preset):
    """The step of a whole preset: of its weights and of the optimizer's state."""
    weights = PrimerCausalLM.from_preset(str(preset)).weights
    (step,) = {float(x) for w in weights for x in np.ravel(keras.ops.convert_to_numpy(w))}
    assert read_training_state(preset)[0] == step
    return step


def test_the_last_and_the_best(run, tmp_path):
    found = []
    for loss in (3.0, 2.0, 2.5, 2.0):
        run(loss)
        found.append((step_of(tmp_path / "preset"), step_of(tmp_path / "best")))
    assert found == [(1, 1), (2, 2), (3, 2), (4, 2)], "of equal losses the first is the best"
    assert sorted(os.listdir(tmp_path)) == ["best", "preset"]


def test_weights_that_were_not_evaluated_are_not_the_best(run, tmp_path):
    run(3.0)
    run(2.0, step=7)
    assert (step_of(tmp_path / "preset"), step_of(tmp_path / "best")) == (7, 1)


def test_the_best_preset_costs_no_second_copy(run, tmp_path, monkeypatch):
    run(3.0)
    names = ("config.json", "model.weights.h5", "assets/tokenizer/vocabulary.spm")
    for name in names:
        assert os.path.samefile(tmp_path / "preset" / name, tmp_path / "best" / name)
    monkeypatch.setattr(os, "link", lambda *paths: fail())  # as on a file system without them
    run(2.0)
    assert step_of(tmp_path / "best") == 2
    assert not os.path.samefile(tmp_path / "preset" / names[1], tmp_path / "best" / names[1])


def fail():
    raise OSError("no hard links here")


def test_a_reader_finds_a_whole_folder_at_any_time(tmp_path):
    folder, found, errors, done = tmp_path / "folder", [], [], threading.Event()

    def read():
        while not done.is_set():
            try:
                found.append(int((folder / "a" / "file").read_text()))
            except OSError as error:
                errors.append(error)

    def write(text):
        with atomic_directory(folder) as new:
            (new / "a").mkdir()
            (new / "a" / "file").write_text(text)

    write("0")
    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(200):
            write(str(number))
    finally:
        done.set()
        reader.join()
    assert not errors and found == sorted(found) and len(set(found)) > 10
    assert (folder / "a" / "file").read_text() == "199"
    assert os.listdir(tmp_path) == ["folder"]


def test_folders_are_replaced_where_they_cannot_be_exchanged(tmp_path, monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    for text in ("old", "new"):
        with atomic_directory(tmp_path / "folder") as folder:
            (folder / text).touch()
    assert os.listdir(tmp_path) == ["folder"] and os.listdir(tmp_path / "folder") == ["new"]
