"""The end of a training run that has diverged."""

import math
from typing import Any

import keras
import numpy as np

from primer_tf.errors import UserError
from primer_tf.training.checkpoints import Checkpoints

# The perplexity of a larger one is infinite in float32.
LARGEST_LOSS = math.log(np.finfo("float32").max)


class Divergence(UserError):
    """Training has diverged.

    Args:
        message: What the user can do.
        step: The step at which it has.
        reason: What was found there.
    """

    def __init__(self, message: str, step: int, reason: str) -> None:
        super().__init__(message)
        self.step = step
        self.reason = reason


def divergence_reason(what: str, loss: float, step: int) -> str:
    """Returns what was found where training has diverged.

    Args:
        what: The name of the loss.
        loss: The loss.
        step: The step at which it was measured.
    """
    return f"the {what} is {loss:.6g} at step {step}"


class StopAtDivergence(keras.callbacks.Callback):
    """Ends training when a loss is not finite, or when the perplexity overflows float32.

    The training loss is checked after each step, and the `validation_loss` in the logs (see
    `Validation`) after each epoch. It needs `CountSteps` before it in the list of callbacks.

    Args:
        checkpoints: The `Checkpoints` of the run, of which the error names the last good one.

    Raises:
        Divergence: At the step or the epoch where training has diverged.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        super().__init__()
        self.checkpoints = checkpoints

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """Checks the loss of a step."""
        if "step" in logs and not math.isfinite(logs["loss"]):
            raise self._diverged("training loss", logs["loss"], logs["step"])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Checks the validation loss."""
        self.check_validation(logs["validation_loss"], logs["step"])

    def check_validation(self, loss: float, step: int) -> None:
        """Raises `Divergence` if `loss` is not a number, or so large that training has diverged.

        Args:
            loss: The validation loss.
            step: The step at which it was measured.
        """
        if not loss <= LARGEST_LOSS:
            raise self._diverged("validation loss", loss, step)

    def _diverged(self, what: str, loss: float, step: int) -> Divergence:
        self.checkpoints.wait()
        good = [saved for saved in self.checkpoints.steps() if saved < step]
        kept = f"the checkpoint of step {good[-1]} is kept" if good else "no checkpoint exists yet"
        reason = divergence_reason(what, loss, step)
        return Divergence(
            f"Training has diverged: {reason}; {kept}. Resume with max_restarts to skip the data, "
            "or start again in another folder with a smaller learning_rate_scale, or with "
            "ramp_up_steps.",
            step,
            reason,
        )
