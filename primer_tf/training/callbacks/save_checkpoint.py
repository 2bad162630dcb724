"""A checkpoint at the end of each epoch."""

from typing import Any

import keras

from primer_tf.training.checkpoints import Checkpoints


class SaveCheckpoint(keras.callbacks.Callback):
    """Saves the model and its optimizer after each epoch.

    In the list of callbacks it comes after those that write what was measured: rows beyond the
    newest checkpoint are dropped and written again, but missing ones would be lost.

    Args:
        checkpoints: The `Checkpoints` of the run.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        super().__init__()
        self.checkpoints = checkpoints

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Starts to save a checkpoint of `step` in the logs; see `CountSteps`."""
        self.checkpoints.save(self.model, logs["step"])
