"""The trainer on a tiny model: the order of data, gradient accumulation, and restarts."""

import itertools

import keras
import numpy as np
import pytest

from primer_tf.errors import UserError
from primer_tf.training.callbacks.save_checkpoint import SaveCheckpoint
from primer_tf.training.callbacks.stop_at_divergence import Divergence
from primer_tf.training.checkpoints import Checkpoints
from primer_tf.training.restarts import Restarts
from primer_tf.training.trainer import Trainer

RATE = 0.1


class DivergeAt(keras.callbacks.Callback):
    """Finds at some steps, each once, that training has diverged."""

    def __init__(self, *steps):
        super().__init__()
        self.steps = list(steps)

    def on_train_batch_end(self, batch, logs):
        if logs.get("step") in self.steps:
            self.steps.remove(logs["step"])
            raise Divergence("start again", logs["step"], f"the loss is nan at step {logs['step']}")


def batches(seen):
    """A function that yields batches `x = 1, y = its number`, and keeps the numbers in `seen`."""

    def batches(start):
        for number in itertools.count(start):
            seen.append(number)
            yield np.ones((1, 1), "float32"), np.full((1, 1), number, "float32")

    return batches


def run(folder, steps, interval=2, diverge=(), max_restarts=0, batches_per_step=1, resume=False):
    """Trains `w`, which starts at zero; returns it, the lines and the restarts."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign([[0.0]])
    checkpoints, lines = Checkpoints(folder / "checkpoints"), []
    restarts = Restarts(folder / "restarts.json")
    optimizer = keras.optimizers.SGD(
        RATE, gradient_accumulation_steps=batches_per_step if batches_per_step > 1 else None
    )
    trainer = Trainer(
        model,
        optimizer,
        keras.losses.MeanSquaredError(),
        batches([]),
        checkpoints,
        restarts,
        max_restarts,
        lines.append,
    )
    step = checkpoints.restore_newest(model) if resume else 0
    callbacks = [DivergeAt(*diverge), SaveCheckpoint(checkpoints)]
    trainer.fit(steps, interval, callbacks, step)
    return float(keras.ops.convert_to_numpy(model.layers[0].kernel)[0, 0]), lines, restarts


def by_hand(numbers, batches_per_step=1):
    w = 0.0
    for start in range(0, len(numbers), batches_per_step):
        of_step = numbers[start : start + batches_per_step]
        w -= RATE * np.mean([2 * (w - number) for number in of_step])
    return w


@pytest.mark.parametrize("batches_per_step", [1, 3])
def test_steps_see_the_data_in_order(tmp_path, batches_per_step):
    w, _, _ = run(tmp_path, 5, batches_per_step=batches_per_step)
    assert w == pytest.approx(by_hand(range(5 * batches_per_step), batches_per_step), rel=1e-5)
    assert Checkpoints(tmp_path / "checkpoints").steps() == [2, 4, 5]


@pytest.mark.parametrize("batches_per_step", [1, 2])
def test_a_restart_skips_the_data_it_diverged_on(tmp_path, batches_per_step):
    """Step 5 diverges, then step 6 after the restart: both begin again at step 4."""
    w, lines, restarts = run(
        tmp_path, 8, diverge=(5, 6), max_restarts=2, batches_per_step=batches_per_step
    )
    steps = [0, 1, 2, 3, 7, 8, 9, 10]  # One step was skipped, then two.
    numbers = [n * batches_per_step + i for n in steps for i in range(batches_per_step)]
    assert w == pytest.approx(by_hand(numbers, batches_per_step), rel=1e-5)
    assert len(lines) == len(restarts) == 2
    assert lines[1] == (
        "Training has diverged: the loss is nan at step 6. Restart 2 of 2: from the checkpoint of "
        "step 4, without the data of the 2 steps after it."
    )


def test_a_resumed_run_skips_them_too(tmp_path):
    run(tmp_path, 6, diverge=(5,), max_restarts=1)
    resumed, lines, _ = run(tmp_path, 9, resume=True)
    assert not lines
    assert resumed == pytest.approx(by_hand([0, 1, 2, 3, 5, 6, 7, 8, 9]), rel=1e-5)


def test_once_too_often(tmp_path):
    with pytest.raises(Divergence, match="start again"):
        run(tmp_path, 8, diverge=(5, 6), max_restarts=1)
    assert len(Restarts(tmp_path / "restarts.json")) == 1
    with pytest.raises(Divergence):  # There is no checkpoint yet.
        run(tmp_path / "new", 8, diverge=(1,), max_restarts=1)


def test_data_after_restarts(tmp_path):
    """Also for a run that falls back to a checkpoint before a restart."""
    restarts = Restarts(tmp_path / "restarts.json")
    restarts.add(4, 6, "nan")
    restarts.add(7, 8, "nan")
    seen = []
    stream = Restarts(tmp_path / "restarts.json").batches(batches(seen), 2, 1)
    assert [int(next(stream)[1][0, 0]) for _ in range(7)] == [2, 3, 6, 7, 8, 10, 11]
    assert [restarts.position(step) for step in (3, 4, 7)] == [3, 6, 10]


@pytest.mark.parametrize("content", ["{", "[1]", '[{"step": 1}]', "5", '[{"step": "x"}]'])
def test_a_damaged_record_of_restarts(tmp_path, content):
    (tmp_path / "restarts.json").write_text(content)
    with pytest.raises(UserError, match="restarts.json is damaged"):
        Restarts(tmp_path / "restarts.json")


def test_an_error_of_the_writer_ends_training(tmp_path):
    (tmp_path / "checkpoints").touch()
    with pytest.raises(OSError, match="checkpoints"):
        run(tmp_path, 3, interval=1)
