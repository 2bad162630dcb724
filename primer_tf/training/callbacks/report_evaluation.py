"""What a run has measured, as lines of text."""

from collections.abc import Callable
from typing import Any

import keras

from primer_tf.training.callbacks.validation import Validation


class ReportEvaluation(keras.callbacks.Callback):
    """Prints a line for each evaluation. It comes last, when everything else is done.

    Args:
        validation: The `Validation` of the run, earlier in the list of callbacks.
        total_steps: The steps of the whole run.
        report: A function that prints a line. Defaults to `print`.
    """

    def __init__(
        self,
        validation: Validation,
        total_steps: int,
        report: Callable[[str], object] = print,
    ) -> None:
        super().__init__()
        self.validation = validation
        self.total_steps = total_steps
        self.report = report

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Prints the evaluation at `step` in the logs; see `CountSteps`."""
        evaluation = self.validation.evaluation
        self.report(f"step {logs['step']}/{self.total_steps}  validation {evaluation}")
