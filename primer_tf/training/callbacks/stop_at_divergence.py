"""The end of a training run that has diverged."""

import math
from typing import Any

import keras
import numpy as np

from primer_tf.errors import UserError
from primer_tf.training.checkpoints import Checkpoints

# The perplexity of a larger one is infinite in float32.
LARGEST_LOSS = math.log(np.finfo("float32").max)


class TrainingDiverged(UserError):
    """A loss is not a number, or is so large that training has failed."""


class StopAtDivergence(keras.callbacks.Callback):
    """Ends training when a loss is not finite, or when the perplexity overflows float32.

    The training loss is checked after each step, and the `validation_loss` in the logs (see
    `Validation`) after each epoch.

    Args:
        checkpoints: The `Checkpoints` of the run, of which the error names the last good one.
        step: The number of steps done before. Defaults to 0.

    Raises:
        TrainingDiverged: At the step or the epoch where training has diverged.
    """

    def __init__(self, checkpoints: Checkpoints, step: int = 0) -> None:
        super().__init__()
        self.checkpoints = checkpoints
        self.step = step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """Counts a step and checks its loss."""
        self.step += 1
        if not math.isfinite(logs["loss"]):
            raise self._diverged("training loss", logs["loss"])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Checks the validation loss."""
        self.check_validation(logs["validation_loss"])

    def check_validation(self, loss: float) -> None:
        """Raises `TrainingDiverged` if `loss` is not a number or is far too large."""
        if not loss <= LARGEST_LOSS:
            raise self._diverged("validation loss", loss)

    def _diverged(self, what: str, loss: float) -> TrainingDiverged:
        good = [saved for saved in self.checkpoints.steps() if saved < self.step]
        kept = f"the checkpoint of step {good[-1]} is kept" if good else "no checkpoint exists yet"
        return TrainingDiverged(
            f"Training has diverged: the {what} is {loss:.6g} at step {self.step}; {kept}. Start "
            "again in another folder with a smaller learning_rate_scale, or with ramp_up_steps."
        )
