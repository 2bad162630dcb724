"""The rest of an epoch that was interrupted."""

from typing import Any

import keras

from primer_tf.training.checkpoints import loss_variables


class ContinueEpoch(keras.callbacks.Callback):
    """Lets the mean loss of an epoch go on from a restored checkpoint instead of from zero.

    It is meant for one call of `fit`, the first after the checkpoint was restored.
    """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keeps the state of the mean, which `fit` will reset."""
        self._state = [keras.ops.convert_to_numpy(v) for v in loss_variables(self.model)]

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Restores the state."""
        for variable, value in zip(loss_variables(self.model), self._state, strict=True):
            variable.assign(value)
