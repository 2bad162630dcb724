"""The callbacks of a run: what they measure, write, show and stop."""

import contextlib
import csv
import math
import signal
from types import SimpleNamespace

import keras
import pytest
import tensorflow as tf

from primer_tf.data.text_length import TextLength
from primer_tf.errors import UserError
from primer_tf.evaluation.evaluator import Evaluation
from primer_tf.training.callbacks.csv_history import COLUMNS, CSVHistory
from primer_tf.training.callbacks.learning_curve import LearningCurve
from primer_tf.training.callbacks.save_checkpoint import SaveCheckpoint
from primer_tf.training.callbacks.stop_at_divergence import StopAtDivergence
from primer_tf.training.callbacks.stop_at_signal import StopAtSignal
from primer_tf.training.callbacks.tensorboard_scalars import TensorBoardScalars
from primer_tf.training.callbacks.validation import Validation
from primer_tf.training.checkpoints import Checkpoints
from primer_tf.training.pending_signal import TrainingInterrupted


def validation(*losses):
    """A `Validation` of batches of 8 tokens that finds these losses, the last again and again."""
    rest = list(losses)

    def evaluator():
        loss = rest.pop(0) if len(rest) > 1 else rest[0]
        return Evaluation(loss=loss, accuracy=0.5, tokens=10, text=TextLength(40, 8))

    return Validation(evaluator, tokens_per_batch=8)


class Logs(keras.callbacks.Callback):
    """Keeps the logs of each epoch."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(dict(logs))


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Steps.


@pytest.mark.parametrize("batches_per_step, expected", [(1, [5, 6, 7]), (3, [None, None, 5])])
def test_steps(fit, batches_per_step, expected):
    """The logs of a batch that completes no step have none."""
    seen, logs = [], Logs()

    class Spy(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(logs.get("step"))

    fit([Spy(), logs], step=4, batches_per_step=batches_per_step)
    assert seen[:3] == expected
    assert [epoch["step"] for epoch in logs.epochs] == (
        [7, 10] if batches_per_step == 1 else [5, 6]
    )


# Validation.


def test_validation_extends_the_logs(fit):
    logs = Logs()
    callback = validation(2.0, 1.0)
    fit([callback, logs], step=6)
    first, second = logs.epochs
    assert (first["step"], second["step"]) == (9, 12)
    assert (first["validation_loss"], second["validation_loss"]) == (2.0, 1.0)
    assert first["accuracy"] == 0.5
    assert first["perplexity"] == pytest.approx(math.exp(2))
    assert first["bits_per_byte"] == pytest.approx(2 / math.log(2) * 10 / 40)
    assert callback.evaluation.loss == 1.0


def test_the_speed_is_that_of_training(clock):
    """Three steps of 2 s with 8 tokens each; the evaluation takes an hour."""

    def evaluator():
        clock.now += 3600
        return Evaluation(1.0, 0.5, 10, TextLength(40, 8))

    callback = Validation(evaluator, tokens_per_batch=8)
    for epoch in range(2):
        logs = {}
        callback.on_epoch_begin(epoch)
        for batch in range(3):
            clock.now += 2
            callback.on_train_batch_end(batch, {"loss": 1.0})
        callback.on_epoch_end(epoch, logs)
        assert logs["tokens_per_second"] == 4.0


# The table.


def test_csv_history(fit, tmp_path):
    logs = Logs()
    history = CSVHistory(tmp_path / "history.csv")
    fit([validation(2.0, 1.0), history, logs])
    rows = table(tmp_path / "history.csv")
    assert list(rows[0]) == list(COLUMNS)
    assert [row["step"] for row in rows] == ["3", "6"]
    for row, epoch in zip(rows, logs.epochs, strict=True):
        assert {name: float(row[name]) for name in COLUMNS} == {n: epoch[n] for n in COLUMNS}
    assert history.rows == [{name: epoch[name] for name in COLUMNS} for epoch in logs.epochs]


def test_a_resumed_table_drops_later_rows(fit, tmp_path):
    path = tmp_path / "history.csv"
    fit([validation(2.0), CSVHistory(path)])
    history = CSVHistory(path, step=3)
    fit([validation(1.0), history], step=3)
    assert [row["step"] for row in table(path)] == ["3", "6", "9"]
    assert [row["validation_loss"] for row in table(path)] == ["2.0", "1.0", "1.0"]
    assert CSVHistory(path, step=6).rows == history.rows[:2]
    assert CSVHistory(tmp_path / "none.csv", step=6).rows == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda table: b"\xff" + table,
        lambda table: table.replace(b"accuracy", b"accurate"),
        lambda table: table[:-10],
        lambda table: table.replace(b"0.5", b"O.5", 1),
        lambda table: table.replace(b"\n6,", b"\nnan,"),
        lambda table: table.replace(b"\n6,", b"\ninf,"),
        lambda table: table + b"x" * 200_000,  # More than a field of Python's csv may have.
    ],
)
def test_a_damaged_table(tmp_path, damage):
    lines = [",".join(COLUMNS), *(f"{step},1.0,2.0,7.4,0.5,0.7,90.0" for step in (3, 6))]
    path = tmp_path / "history.csv"
    path.write_bytes(damage("\r\n".join([*lines, ""]).encode()))
    with pytest.raises(UserError, match="history.csv is damaged; delete it to go on"):
        CSVHistory(path, step=6)


# TensorBoard.


def test_tensorboard_scalars(fit, tmp_path):
    logs = Logs()
    fit([validation(2.0, 1.0), TensorBoardScalars(tmp_path), logs])
    (path,) = tmp_path.glob("events.out.tfevents.*")
    found = {}
    for event in tf.compat.v1.train.summary_iterator(str(path)):
        for value in event.summary.value:
            found[event.step, value.tag] = float(tf.make_ndarray(value.tensor))
    names = [name for name in COLUMNS if name != "step"]
    expected = {(epoch["step"], name): epoch[name] for epoch in logs.epochs for name in names}
    assert found == pytest.approx(expected, rel=1e-6)


# The picture.


def test_learning_curve(fit, tmp_path):
    """It grows while the run goes on."""
    history = CSVHistory(tmp_path / "history.csv")
    curve = LearningCurve(history, tmp_path / "curve.png")
    curve.draw()
    assert not (tmp_path / "curve.png").exists(), "there is nothing to draw yet"
    pictures = []

    class Spy(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            pictures.append((tmp_path / "curve.png").read_bytes())

    fit([validation(2.0, 1.0), history, curve, Spy()])
    first, second = (tf.io.decode_png(picture).numpy() for picture in pictures)
    assert first.shape == second.shape == (480, 1200, 4)
    assert (first != second).any()


# Checkpoints and divergence.


def test_save_checkpoint(fit, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        fit([validation(1.0), SaveCheckpoint(checkpoints)], step=4)
    assert checkpoints.steps() == [7, 10]


@pytest.mark.parametrize(
    "signal_at, stops_at, saved",
    [
        (1, 1, [1]),  # Epochs have three steps, and the run has six.
        (3, 3, []),  # `SaveCheckpoint` and `SavePresets` save at the end of the epoch.
        (5, 5, [5]),
        (6, None, []),
    ],
)
def test_a_signal(fit, tmp_path, signal_at, stops_at, saved):
    """It ends the run after its step, with what an epoch that is not over needs to go on."""
    pending, checkpoints = SimpleNamespace(number=None), Checkpoints(tmp_path)
    presets = SimpleNamespace(
        output="my run", steps=[], save=lambda step: presets.steps.append(step)
    )

    class Signal(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if logs["step"] == signal_at:
                pending.number = signal.SIGTERM

    stop = StopAtSignal(pending, checkpoints, presets, interval=3, total_steps=6)
    expected = contextlib.nullcontext()
    if stops_at:
        command = "\nprimer train --resume --output 'my run'$"
        expected = pytest.raises(
            TrainingInterrupted, match=f"^SIGTERM .* after step {stops_at} of 6; .*{command}"
        )
    with expected as error:
        fit([Signal(), stop])
    if stops_at:
        assert error.value.number == 15
    assert checkpoints.steps() == presets.steps == saved


def test_rows_come_before_the_checkpoint(fit, tmp_path):
    """A row of the table may lack its checkpoint, but no checkpoint lacks its row."""
    seen = []

    class Spy(Checkpoints):
        def save(self, model, step):
            seen.append((step, [row["step"] for row in table(tmp_path / "history.csv")]))

    history = CSVHistory(tmp_path / "history.csv")
    fit([validation(1.0), history, SaveCheckpoint(Spy(tmp_path))])
    assert seen == [(3, ["3"]), (6, ["3", "6"])]


@pytest.mark.parametrize("target", [math.nan, math.inf])
def test_a_training_loss_that_is_not_finite(fit, tmp_path, target):
    history = CSVHistory(tmp_path / "history.csv")
    stop = StopAtDivergence(Checkpoints(tmp_path / "checkpoints"))
    with pytest.raises(UserError, match="training loss is (nan|inf) at step 101; no checkpoint"):
        fit([validation(1.0), stop, history], value=target, step=100)
    assert history.rows == []


@pytest.mark.parametrize("loss, shown", [(math.nan, "nan"), (88.8, "88.8"), (math.inf, "inf")])
def test_a_validation_loss_that_diverges(fit, tmp_path, loss, shown):
    """The largest float32 is exp(88.72)."""
    history = CSVHistory(tmp_path / "history.csv")
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    callbacks = [validation(88.7, loss), StopAtDivergence(checkpoints), history]
    expected = f"validation loss is {shown} at step 6; the checkpoint of step 3 is kept"
    with pytest.raises(UserError, match=expected):
        fit([*callbacks, SaveCheckpoint(checkpoints)])
    assert [row["step"] for row in history.rows] == checkpoints.steps() == [3]
