"""The progress of a run as lines of text."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import keras


class ProgressLines(keras.callbacks.Callback, contextlib.AbstractContextManager):
    """Prints step, loss, tokens a second and the time left, at most every few seconds.

    Args:
        total_steps: The steps of the whole run.
        tokens_per_step: The number of tokens in a batch.
        step: The number of steps done before. Defaults to 0.
        seconds: The shortest time between two lines. Defaults to 5.
        report: A function that prints a line. Defaults to `print`.
    """

    def __init__(
        self,
        total_steps: int,
        tokens_per_step: int,
        step: int = 0,
        seconds: float = 5.0,
        report: Callable[[str], object] = print,
    ) -> None:
        super().__init__()
        self.total_steps = total_steps
        self.tokens_per_step = tokens_per_step
        self.step = step
        self.seconds = seconds
        self.report = report
        self._rate: float | None = None  # Steps a second, smoothed.
        self._last_step = step
        self._last_time = 0.0

    def __exit__(self, *exception: object) -> None:
        """Does nothing: lines leave nothing to restore."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Leaves what happens between two calls of `fit` out of the rate."""
        self._last_time, self._last_step = time.monotonic(), self.step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """Counts a step and prints a line when one is due."""
        self.step += 1
        now = time.monotonic()
        if self._rate is None:
            # The first step includes the compilation: measure from here.
            self._rate = 0.0
            self._report(logs, "(compiled)")
        elif now - self._last_time >= self.seconds:
            rate = (self.step - self._last_step) / (now - self._last_time)
            self._rate = rate if not self._rate else 0.7 * self._rate + 0.3 * rate
            left = int((self.total_steps - self.step) / self._rate)
            speed = f"{rate * self.tokens_per_step:,.0f} tokens/s"
            self._report(logs, f"{speed}  ETA {left // 60}:{left % 60:02d}")
        else:
            return
        self._last_time, self._last_step = now, self.step

    def _report(self, logs: dict[str, Any], rest: str) -> None:
        self.report(f"step {self.step}/{self.total_steps}  loss {logs['loss']:.4f}  {rest}")
