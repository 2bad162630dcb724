"""The number of the training step, for all other callbacks."""

from typing import Any

import keras


class CountSteps(keras.callbacks.Callback):
    """Adds `step`, the number of steps done in the whole run, to the logs.

    It comes first in the list of callbacks. With gradient accumulation the logs of a batch have a
    `step` only if the batch completes one.

    Args:
        step: The number of steps done before. Defaults to 0.
        batches_per_step: The number of batches in a step. Defaults to 1.
    """

    def __init__(self, step: int = 0, batches_per_step: int = 1) -> None:
        super().__init__()
        self.step = step
        self.batches_per_step = batches_per_step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """Counts a step when it is done."""
        if (batch + 1) % self.batches_per_step == 0:
            self.step += 1
            logs["step"] = self.step

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Adds the step."""
        logs["step"] = self.step
