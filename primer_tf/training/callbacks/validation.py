"""Evaluation at the end of each epoch."""

import time
from collections.abc import Callable
from typing import Any

import keras

from primer_tf.evaluation.evaluator import Evaluation


class Validation(keras.callbacks.Callback):
    """Evaluates the model after each epoch and adds what it measures to the logs.

    The logs get `validation_loss`, `perplexity`, `accuracy`, `bits_per_byte` and
    `tokens_per_second`, the speed of training without the evaluation.

    Args:
        evaluator: Called without arguments; returns an `Evaluation` of the model.
        tokens_per_batch: The number of tokens in a batch.

    Attributes:
        evaluation: The last `Evaluation`, or `None` before the first.
    """

    def __init__(self, evaluator: Callable[[], Evaluation], tokens_per_batch: int) -> None:
        super().__init__()
        self.evaluator = evaluator
        self.tokens_per_batch = tokens_per_batch
        self.evaluation: Evaluation | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._start_time, self._batches = time.monotonic(), 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Counts a batch."""
        self._batches += 1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Evaluates the model and extends the logs."""
        seconds = time.monotonic() - self._start_time
        tokens = self._batches * self.tokens_per_batch
        self.evaluation = self.evaluator()
        logs.update(
            validation_loss=self.evaluation.loss,
            perplexity=self.evaluation.perplexity,
            accuracy=self.evaluation.accuracy,
            bits_per_byte=self.evaluation.bits_per_byte,
            tokens_per_second=tokens / seconds,
        )
