"""The choice between a bar and lines."""

import sys
from collections.abc import Callable

from rich.console import Console

from primer_tf.training.callbacks.progress_bar import ProgressBar
from primer_tf.training.callbacks.progress_lines import ProgressLines


def progress(
    total_steps: int,
    tokens_per_step: int,
    step: int = 0,
    report: Callable[[str], object] = print,
) -> ProgressBar | ProgressLines:
    """Returns the callback that shows the progress of a run; it is also a context manager.

    It is a bar if `report` is `print` and the standard output is a terminal that can move its
    cursor, and lines otherwise.

    Args:
        total_steps: The steps of the whole run.
        tokens_per_step: The number of tokens in a step.
        step: The number of steps done before. Defaults to 0.
        report: A function that prints the lines of the run. Defaults to `print`.
    """
    if report is print and sys.stdout is not None and sys.stdout.isatty():
        console = Console()
        if console.is_interactive:
            return ProgressBar(total_steps, tokens_per_step, step, console)
    return ProgressLines(total_steps, tokens_per_step, report=report)
