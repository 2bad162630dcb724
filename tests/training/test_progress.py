"""The progress of a run, as lines and as a bar."""

import contextlib
import io
import itertools
import re
import sys

from primer_tf.training.callbacks.progress import progress
from primer_tf.training.callbacks.progress_bar import ProgressBar
from primer_tf.training.callbacks.progress_lines import ProgressLines
from tests.pseudo_terminal import run_on_terminal


def test_lines(fit):
    lines = []
    with ProgressLines(106, 8, seconds=0, report=lines.append) as display:
        fit([display], step=100)
    assert re.fullmatch(r"step 101/106  loss \d+\.\d{4}  \(compiled\)", lines[0])
    pattern = r"step (\d+)/106  loss \d+\.\d{4}  [\d,]+ tokens/s  ETA \d+:\d\d"
    assert [re.fullmatch(pattern, line)[1] for line in lines[1:]] == [*map(str, range(102, 107))]


def test_lines_come_every_few_seconds(clock):
    """Steps of 2 s and 8 tokens: a line every 6 s, and no more often."""
    lines, count = [], itertools.count(1)
    display = ProgressLines(1000, tokens_per_step=8, report=lines.append)

    def steps(number):
        display.on_train_begin()
        for batch in range(number):
            clock.now += 2
            display.on_train_batch_end(batch, {"loss": 1.5, "step": next(count)})

    steps(7)
    assert lines == [
        "step 1/1000  loss 1.5000  (compiled)",
        "step 4/1000  loss 1.5000  4 tokens/s  ETA 33:12",
        "step 7/1000  loss 1.5000  4 tokens/s  ETA 33:06",
    ]
    clock.now += 3600  # An evaluation between two calls of `fit` does not count.
    steps(3)
    assert lines[3:] == ["step 10/1000  loss 1.5000  4 tokens/s  ETA 33:00"]


HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


def test_a_bar_on_a_terminal(clock):
    """Steps of 2 s and 8 tokens; a line and an hour of evaluation between two calls of `fit`."""

    def run():
        count = itertools.count(101)
        with progress(120, 8, step=100) as display:
            assert isinstance(display, ProgressBar)
            for _ in range(2):
                display.on_train_begin()
                for batch in range(5):
                    clock.now += 2
                    display.on_train_batch_end(batch, {"loss": 1.5, "step": next(count)})
                clock.now += 3600
                print("a line of the run")

    sent = run_on_terminal(run)
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", sent).replace("\r", "\n").split("\n")
    shown = [line for line in shown if line]
    assert shown.count("a line of the run") == 2
    assert re.fullmatch(r"step 100/120 \S+ +", shown[0])
    assert re.fullmatch(r"step 110/120 \S+ loss 1.5000  4 tokens/s  ETA 0:20", shown[-1])
    assert sent.count(HIDE_CURSOR) == sent.count(SHOW_CURSOR) == 1


def test_lines_on_a_terminal_that_cannot_move_its_cursor(fit):
    def run():
        with progress(106, 8, step=100) as display:
            fit([display], step=100)

    assert run_on_terminal(run, "dumb").startswith("step 101/106  loss ")


def test_lines_go_where_they_are_asked_to_go(fit):
    lines = []

    def run():
        with progress(106, 8, report=lines.append) as display:
            fit([display])

    assert run_on_terminal(run) == "" and lines[0].startswith("step 1/106  loss ")


def test_the_cursor_comes_back_whatever_happens():
    def run():
        with contextlib.suppress(KeyboardInterrupt), progress(10, 8):
            raise KeyboardInterrupt

    sent = run_on_terminal(run)
    assert sent.count(HIDE_CURSOR) == 1 and sent.endswith(SHOW_CURSOR)


def test_lines_where_the_output_is_no_terminal(monkeypatch):
    """Even if continuous integration asks for colours."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert isinstance(progress(10, 8), ProgressLines)
