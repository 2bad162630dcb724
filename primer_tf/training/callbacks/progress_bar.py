"""The progress of a run as a bar on a terminal."""

import contextlib
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from primer_tf.training.callbacks.step_rate import StepRate


class ProgressBar(keras.callbacks.Callback, contextlib.AbstractContextManager):
    """Shows steps, loss, tokens a second and the time left; what is printed appears above it.

    It needs `CountSteps` before it in the list of callbacks.

    As a context manager it shows the bar from the first call of `fit` to the last, and restores the
    terminal whatever ends the run.

    Args:
        total_steps: The steps of the whole run.
        tokens_per_step: The number of tokens in a step.
        step: The number of steps done before. Defaults to 0.
        console: The `rich.console.Console` to draw on. Defaults to the standard output.
    """

    def __init__(
        self,
        total_steps: int,
        tokens_per_step: int,
        step: int = 0,
        console: Console | None = None,
    ) -> None:
        super().__init__()
        self.total_steps = total_steps
        self.tokens_per_step = tokens_per_step
        self._done = 0
        self._rate = StepRate(seconds=0.5)
        self._bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[measured]}"),
            console=console,
        )
        self._task = self._bar.add_task("", total=total_steps, completed=step, measured="")

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Leaves what happens between two calls of `fit` out of the rate."""
        self._rate.restart(self._done)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """Advances the bar after a step."""
        if "step" not in logs:
            return
        self._done += 1
        self._rate.measure(self._done)
        step = logs["step"]
        rate = self._rate.describe(self.tokens_per_step, self.total_steps - step)
        self._bar.update(self._task, completed=step, measured=f"loss {logs['loss']:.4f}{rate}")
