"""The presets of a run: the last one, and the one with the lowest validation loss."""

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from primer_tf.distribution.host_weights import HostWeights
from primer_tf.distribution.hosts import ALONE, Hosts
from primer_tf.files import atomic_directory, check_free_space, link_or_copy
from primer_tf.models import PrimerCausalLM
from primer_tf.models.training_state import save_training_state
from primer_tf.optimizers.averaged_weights import averaged_weights
from primer_tf.optimizers.t5_adafactor import t5_adafactor_in
from primer_tf.training.callbacks.csv_history import CSVHistory
from primer_tf.training.record import BEST, LAST
from primer_tf.types import StrPath


class SavePresets(keras.callbacks.Callback):
    """Saves presets after each epoch, each in one step, so that they can be used at any time.

    `preset` has the last weights, and `best` those with the lowest validation loss. Both have the
    optimizer's state, if it is one of `T5Adafactor`. The weights are their moving averages if the
    optimizer keeps any. The presets compute in the dtype of the weights: mixed precision is for
    training. The files of both are the same ones while the last weights are the best.

    In the list of callbacks it comes before `SaveCheckpoint`, which goes on to fill the disk.

    Args:
        task: The `PrimerCausalLM` to save, with a preprocessor. Its weights are those of the model
            that is trained.
        output: The folder of both presets.
        history: The `CSVHistory` of the run, earlier in the list of callbacks.
        hosts: The `Hosts` of the run, of which the first one writes. By default there is one.
    """

    def __init__(
        self, task: PrimerCausalLM, output: StrPath, history: CSVHistory, hosts: Hosts = ALONE
    ) -> None:
        super().__init__()
        self.task = task
        self.output = Path(output)
        self.history = history
        self.hosts = hosts
        self._weights = HostWeights(hosts)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Saves the presets of `step` in the logs; see `CountSteps`."""
        self.save(logs["step"])

    def save(self, step: int) -> None:
        """Saves the last preset, and also as the best one if no validation loss was as low.

        Args:
            step: The number of steps done. Weights that were not evaluated are not the best.
        """
        optimizer = self.model.optimizer
        variables = [*self.task.weights, *optimizer.variables]
        with averaged_weights(optimizer), self._weights.reading(variables) as is_first:
            if is_first:
                self._write_last()
        if self.hosts.is_first:
            self._copy_if_best(step)

    def _write_last(self) -> None:
        # HDF5 ends the process with a segmentation fault when it cannot write all it wants to.
        check_free_space(self.output, 4 * self.task.count_params() + 2**20)
        with atomic_directory(self.output / LAST) as folder, _in_dtype_of_weights(self.task):
            self.task.save_to_preset(str(folder))
            if t5_adafactor_in(self.model.optimizer):
                save_training_state(folder, self.model.trainable_variables, self.model.optimizer)

    def _copy_if_best(self, step: int) -> None:
        *before, row = self.history.rows or [{"step": None}]
        lowest = min((earlier["validation_loss"] for earlier in before), default=math.inf)
        if row["step"] == step and row["validation_loss"] < lowest:
            with atomic_directory(self.output / BEST) as folder:
                shutil.copytree(
                    self.output / LAST, folder, copy_function=link_or_copy, dirs_exist_ok=True
                )


@contextmanager
def _in_dtype_of_weights(task: PrimerCausalLM) -> Iterator[None]:
    """Gives a model the dtype policy of its weights for as long as it is saved."""
    policy = task.backbone.dtype_policy
    task.backbone.dtype_policy = policy.variable_dtype
    try:
        yield
    finally:
        task.backbone.dtype_policy = policy
