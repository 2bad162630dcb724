"""The progress of a run as lines of text."""

import contextlib
from collections.abc import Callable
from typing import Any

import keras

from primer_tf.training.callbacks.step_rate import StepRate


class ProgressLines(keras.callbacks.Callback, contextlib.AbstractContextManager):
    """Prints step, loss, tokens a second and the time left, at most every few seconds.

    It needs `CountSteps` before it in the list of callbacks.

    Args:
        total_steps: The steps of the whole run.
        tokens_per_step: The number of tokens in a step.
        seconds: The shortest time between two lines. Defaults to 5.
        report: A function that prints a line. Defaults to `print`.
    """

    def __init__(
        self,
        total_steps: int,
        tokens_per_step: int,
        seconds: float = 5.0,
        report: Callable[[str], object] = print,
    ) -> None:
        super().__init__()
        self.total_steps = total_steps
        self.tokens_per_step = tokens_per_step
        self._done = 0
        self.report = report
        self._rate = StepRate(seconds)

    def __exit__(self, *exception: object) -> None:
        """Does nothing: lines leave nothing to restore."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Leaves what happens between two calls of `fit` out of the rate."""
        self._rate.restart(self._done)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """Prints a line after a step when one is due."""
        if "step" not in logs:
            return
        self._done += 1
        line = f"step {logs['step']}/{self.total_steps}  loss {logs['loss']:.4f}"
        due = self._rate.measure(self._done)
        if self._done == 1:
            self.report(f"{line}  (compiled)")
        elif due:
            left = self.total_steps - logs["step"]
            self.report(line + self._rate.describe(self.tokens_per_step, left))
