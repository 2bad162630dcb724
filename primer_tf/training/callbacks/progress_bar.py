"""The progress of a run as a bar on a terminal."""

import contextlib
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class ProgressBar(keras.callbacks.Callback, contextlib.AbstractContextManager):
    """Shows steps, loss, tokens a second and the time left; what is printed appears above it.

    As a context manager it shows the bar from the first call of `fit` to the last, and restores the
    terminal whatever ends the run.

    Args:
        total_steps: The steps of the whole run.
        tokens_per_step: The number of tokens in a batch.
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
        self.tokens_per_step = tokens_per_step
        self._bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[measured]}"),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("", total=total_steps, completed=step, measured="")

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """Advances the bar by a step."""
        speed = self._bar.tasks[self._task].speed
        rate = f"  {speed * self.tokens_per_step:,.0f} tokens/s" if speed else ""
        self._bar.update(self._task, advance=1, measured=f"loss {logs['loss']:.4f}{rate}")
