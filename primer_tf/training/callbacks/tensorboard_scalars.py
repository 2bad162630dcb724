"""What a run has measured, for TensorBoard."""

from typing import Any

import keras

from primer_tf.files import tensorflow_writes
from primer_tf.training.callbacks.csv_history import COLUMNS
from primer_tf.types import StrPath


class TensorBoardScalars(keras.callbacks.Callback):
    """Logs the columns of `CSVHistory` for TensorBoard, by step.

    Unlike `keras.callbacks.TensorBoard` it counts the steps of a run across calls of `fit`. It
    needs `CountSteps` and `Validation` before it in the list of callbacks.

    Args:
        directory: The folder of the logs.
    """

    def __init__(self, directory: StrPath) -> None:
        import tensorflow as tf

        super().__init__()
        self.directory = directory
        with tensorflow_writes(directory):
            self._writer = tf.summary.create_file_writer(str(directory))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Logs an epoch."""
        import tensorflow as tf

        with tensorflow_writes(self.directory), self._writer.as_default(step=logs["step"]):
            for name in COLUMNS:
                if name != "step":
                    tf.summary.scalar(name, logs[name])
            self._writer.flush()
