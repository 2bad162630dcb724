"""The callbacks of a run: what they measure, write, show and stop."""

import contextlib
import csv
import io
import math
import os
import pty
import re
import sys
import threading
import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from primer_tf.errors import UserError
from primer_tf.evaluation.evaluator import Evaluation
from primer_tf.training.callbacks.csv_history import COLUMNS, CSVHistory
from primer_tf.training.callbacks.learning_curve import LearningCurve
from primer_tf.training.callbacks.progress import progress
from primer_tf.training.callbacks.progress_bar import ProgressBar
from primer_tf.training.callbacks.progress_lines import ProgressLines
from primer_tf.training.callbacks.save_checkpoint import SaveCheckpoint
from primer_tf.training.callbacks.stop_at_divergence import StopAtDivergence
from primer_tf.training.callbacks.tensorboard_scalars import TensorBoardScalars
from primer_tf.training.callbacks.validation import Validation
from primer_tf.training.checkpoints import Checkpoints


@pytest.fixture
def fit():
    """Calls `fit` of a tiny model with callbacks: two epochs of three steps."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    x = np.ones((6, 1), "float32")

    def fit(callbacks, value=1.0):
        return model.fit(x, value * x, batch_size=2, epochs=2, verbose=0, callbacks=callbacks)

    return fit


def validation(*losses, step=0):
    """A `Validation` of batches of 8 tokens that finds these losses, the last again and again."""
    rest = list(losses)

    def evaluator():
        loss = rest.pop(0) if len(rest) > 1 else rest[0]
        return Evaluation(loss=loss, accuracy=0.5, tokens=10, num_bytes=40)

    return Validation(evaluator, tokens_per_step=8, step=step)


class Logs(keras.callbacks.Callback):
    """Keeps the logs of each epoch."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(dict(logs))


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets by `clock.now`, in seconds."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Validation.


def test_validation_extends_the_logs(fit):
    logs = Logs()
    callback = validation(2.0, 1.0, step=6)
    fit([callback, logs])
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
        return Evaluation(1.0, 0.5, 10, 40)

    callback = Validation(evaluator, tokens_per_step=8)
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
    fit([validation(1.0, step=3), history])
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
    history = CSVHistory(tmp_path / "history.csv")
    path = tmp_path / "curve.png"
    callbacks = [validation(2.0, 1.0), history, LearningCurve(history, path, last_step=12)]
    fit(callbacks)
    assert not path.exists(), "it comes at the end of the run only"
    fit(callbacks)
    height, width, channels = tf.io.decode_png(path.read_bytes()).shape
    assert (height, width) == (480, 1200) and channels == 4


# Checkpoints and divergence.


def test_save_checkpoint(fit, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    fit([validation(1.0, step=4), SaveCheckpoint(checkpoints)])
    assert checkpoints.steps() == [7, 10]


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
    stop = StopAtDivergence(Checkpoints(tmp_path / "checkpoints"), step=100)
    with pytest.raises(UserError, match="training loss is (nan|inf) at step 101; no checkpoint"):
        fit([validation(1.0), stop, history], value=target)
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


# Progress.


def test_lines(fit):
    lines = []
    with ProgressLines(106, 8, step=100, seconds=0, report=lines.append) as display:
        fit([display])
    assert re.fullmatch(r"step 101/106  loss \d+\.\d{4}  \(compiled\)", lines[0])
    pattern = r"step (\d+)/106  loss \d+\.\d{4}  [\d,]+ tokens/s  ETA \d+:\d\d"
    assert [re.fullmatch(pattern, line)[1] for line in lines[1:]] == [*map(str, range(102, 107))]


def test_lines_come_every_few_seconds(clock):
    """Steps of 2 s and 8 tokens: a line every 6 s, and no more often."""
    lines = []
    display = ProgressLines(1000, tokens_per_step=8, report=lines.append)

    def steps(number):
        display.on_train_begin()
        for batch in range(number):
            clock.now += 2
            display.on_train_batch_end(batch, {"loss": 1.5})

    steps(7)
    assert lines == [
        "step 1/1000  loss 1.5000  (compiled)",
        "step 4/1000  loss 1.5000  4 tokens/s  ETA 33:12",
        "step 7/1000  loss 1.5000  4 tokens/s  ETA 33:06",
    ]
    clock.now += 3600  # An evaluation between two calls of `fit` does not count.
    steps(3)
    assert lines[3:] == ["step 10/1000  loss 1.5000  4 tokens/s  ETA 33:00"]


@pytest.fixture
def terminal(monkeypatch):
    """Runs a function with a pseudo-terminal as standard output; returns what it was sent."""

    def run(function, name="xterm"):
        monkeypatch.setenv("TERM", name)
        monkeypatch.setenv("COLUMNS", "100")
        leader, follower = pty.openpty()
        sent = []

        def read():
            with contextlib.suppress(OSError):  # The other end is closed.
                while data := os.read(leader, 4096):
                    sent.append(data)

        reader = threading.Thread(target=read)
        reader.start()
        with os.fdopen(follower, "w", encoding="utf-8") as stdout:
            monkeypatch.setattr(sys, "stdout", stdout)
            try:
                function()
            finally:
                monkeypatch.undo()
        reader.join()
        os.close(leader)
        return b"".join(sent).decode("utf-8")

    return run


HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


def test_a_bar_on_a_terminal(clock, terminal):
    """Steps of 2 s and 8 tokens; a line and an hour of evaluation between two calls of `fit`."""

    def run():
        with progress(120, 8, step=100) as display:
            assert isinstance(display, ProgressBar)
            for _ in range(2):
                display.on_train_begin()
                for batch in range(5):
                    clock.now += 2
                    display.on_train_batch_end(batch, {"loss": 1.5})
                clock.now += 3600
                print("a line of the run")

    sent = terminal(run)
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", sent).replace("\r", "\n").split("\n")
    shown = [line for line in shown if line]
    assert shown.count("a line of the run") == 2
    assert re.fullmatch(r"step 100/120 \S+ +", shown[0])
    assert re.fullmatch(r"step 110/120 \S+ loss 1.5000  4 tokens/s  ETA 0:20", shown[-1])
    assert sent.count(HIDE_CURSOR) == sent.count(SHOW_CURSOR) == 1


def test_lines_on_a_terminal_that_cannot_move_its_cursor(fit, terminal):
    def run():
        with progress(106, 8, step=100) as display:
            fit([display])

    assert terminal(run, "dumb").startswith("step 101/106  loss ")


def test_lines_go_where_they_are_asked_to_go(fit, terminal):
    lines = []

    def run():
        with progress(106, 8, report=lines.append) as display:
            fit([display])

    assert terminal(run) == "" and lines[0].startswith("step 1/106  loss ")


def test_the_cursor_comes_back_whatever_happens(terminal):
    def run():
        with contextlib.suppress(KeyboardInterrupt), progress(10, 8):
            raise KeyboardInterrupt

    sent = terminal(run)
    assert sent.count(HIDE_CURSOR) == 1 and sent.endswith(SHOW_CURSOR)


def test_lines_where_the_output_is_no_terminal(monkeypatch):
    """Even if continuous integration asks for colours."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert isinstance(progress(10, 8), ProgressLines)
