"""Evaluation at the end of each epoch."""

import time
from collections.abc import Callable
from typing import Any

import keras

from primer_tf.evaluation.evaluator import Evaluation


class Validation(keras.callbacks.Callback):
    """Evaluates the model after each epoch and adds what it measures to the logs.

    The logs get `step`, `validation_loss`, `perplexity`, `accuracy`, `bits_per_byte` and
    `tokens_per_second`, the speed of training without the evaluation.

    Args:
        evaluator: Called without arguments; returns an `Evaluation` of the model.
        tokens_per_step: The number of tokens in a batch.
        step: The number of steps done before. Defaults to 0.

    Attributes:
        evaluation: The last `Evaluation`, or `None` before the first.
    """

    def __init__(
        self, evaluator: Callable[[], Evaluation], tokens_per_step: int, step: int = 0
    ) -> None:
        super().__init__()
        self.evaluator = evaluator
        self.tokens_per_step = tokens_per_step
        self.step = step
        self.evaluation: Evaluation | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._start_time, self._start_step = time.monotonic(), self.step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Counts a step."""
        self.step += 1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Evaluates the model and extends the logs."""
        seconds = time.monotonic() - self._start_time
        tokens = (self.step - self._start_step) * self.tokens_per_step
        self.evaluation = self.evaluator()
        logs.update(
            step=self.step,
            validation_loss=self.evaluation.loss,
            perplexity=self.evaluation.perplexity,
            accuracy=self.evaluation.accuracy,
            bits_per_byte=self.evaluation.bits_per_byte,
            tokens_per_second=tokens / seconds,
        )
