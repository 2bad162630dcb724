"""The end of a training run that has diverged."""

import math

import keras
import numpy as np

from primer_tf.errors import UserError


class StopAtDivergence(keras.callbacks.Callback):
    """Ends training at the step whose loss is not a number, or infinite.

    Args:
        step: Steps already done.
        checkpoints: The `Checkpoints` of the run.
    """

    def __init__(self, step, checkpoints):
        super().__init__()
        self.step = step
        self.checkpoints = checkpoints

    def on_train_batch_end(self, batch, logs=None):
        """Counts a step and checks its loss."""
        self.step += 1
        if not math.isfinite(logs["loss"]):
            raise diverged("training loss", logs["loss"], self.step, self.checkpoints)


def check_evaluation(evaluation, step, checkpoints):
    """Raises `UserError` if the perplexity is not a number, or too large for float32.

    Args:
        evaluation: The `Evaluation`.
        step: The step it was made at.
        checkpoints: The `Checkpoints` of the run.
    """
    if not evaluation.perplexity <= np.finfo("float32").max:
        raise diverged("validation loss", evaluation.loss, step, checkpoints)


def diverged(what, loss, step, checkpoints):
    """Returns the `UserError` that says where a run diverged, and what is left of it."""
    good = [saved for saved in checkpoints.steps() if saved < step]
    kept = f"the checkpoint of step {good[-1]} is kept" if good else "there is no checkpoint yet"
    return UserError(
        f"Training has diverged: the {what} is {loss:.6g} at step {step}; {kept}. Start again in "
        "another folder with a smaller learning_rate_scale, or with ramp_up_steps."
    )
