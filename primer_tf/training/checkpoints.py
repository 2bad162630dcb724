"""Checkpoints of a training run: everything its next step depends on."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from primer_tf.errors import UserError
from primer_tf.files import DamagedFileError, atomic_directory, read_npz
from primer_tf.types import StrPath

FILE = "variables.npz"


class Checkpoints:
    """A folder of checkpoints, the newest few.

    A checkpoint is `step_NNNNNNNN/variables.npz`: the weights, the optimizer's state, the state of
    the random generators and the mean loss since the last evaluation, under their paths. It appears
    in one piece or not at all, and its checksums (those of the zip format) are verified when it is
    read.

    Args:
        directory: The folder; need not exist.
        keep: How many checkpoints to keep.
    """

    def __init__(self, directory: StrPath, keep: int = 3) -> None:
        self.directory = Path(directory)
        self.keep = keep

    def steps(self) -> list[int]:
        """Returns the steps that have a checkpoint, ascending."""
        names = os.listdir(self.directory) if self.directory.is_dir() else []
        return sorted(int(name[5:]) for name in names if re.fullmatch(r"step_\d+", name))

    def _folder(self, step: int) -> Path:
        return self.directory / f"step_{step:08d}"

    def save(self, model: keras.Model, step: int) -> None:
        """Saves a compiled model and its optimizer, then removes the oldest checkpoints."""
        arrays: dict[str, Any] = {k: _array(v) for k, v in _variables(model).items()}
        with atomic_directory(self._folder(step)) as folder:
            np.savez(folder / FILE, **arrays)
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self._folder(old))

    def restore_newest(self, model: keras.Model, report: Callable[[str], object] = print) -> int:
        """Restores the newest checkpoint that can be read.

        Args:
            model: A compiled model of the same architecture.
            report: Called with one line for each checkpoint that cannot be read.

        Returns:
            Its step, or 0 when there is no checkpoint.

        Raises:
            UserError: There are checkpoints, but all are corrupt, or one is of another model, or
                the newest cannot be read at present.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                arrays = read_npz(self._folder(step) / FILE)
            except DamagedFileError as error:
                report(
                    f"Checkpoint {self._folder(step)} is corrupt ({error}); trying an older one."
                )
                continue
            self._assign(model, arrays, step)
            return step
        if steps:
            raise UserError(
                f"No checkpoint in {self.directory} can be read; start again in another folder."
            )
        return 0

    def _assign(self, model: keras.Model, arrays: dict[str, np.ndarray], step: int) -> None:
        variables = _variables(model)
        for name, variable in variables.items():
            if name not in arrays or arrays[name].shape != tuple(variable.shape):
                found = arrays[name].shape if name in arrays else "nothing"
                raise UserError(
                    f"Checkpoint {self._folder(step)} is of another model: expected {name} of "
                    f"shape {tuple(variable.shape)}, found {found}."
                )
        for name, variable in variables.items():
            variable.assign(arrays[name])


def _array(variable: keras.Variable) -> np.ndarray:
    array = keras.ops.convert_to_numpy(variable)
    # NumPy's files know no bfloat16; float32 holds every value of it.
    return array.astype("float32") if array.dtype.kind == "V" else array


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Returns all variables that training changes, by a unique name."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    # Other metrics than the loss are not state of the training.
    metrics = {id(variable) for metric in model.metrics for variable in metric.variables}
    of_training = [
        *(("model", variable) for variable in model.variables if id(variable) not in metrics),
        *(("optimizer", variable) for variable in model.optimizer.variables),
        *(("metric", variable) for variable in loss_variables(model)),
    ]
    return {
        # Paths alone are not unique in an optimizer, and the numbers that Keras appends to names
        # count what the process has made before.
        f"{kind}/{index:04d}/" + re.sub(r"_\d+(?=/|$)", "", variable.path): variable
        for index, (kind, variable) in enumerate(of_training)
    }


def loss_variables(model: keras.Model) -> list[keras.Variable]:
    """Returns the state of the metric in which a compiled model averages its loss."""
    return [v for metric in model.metrics if metric.name == "loss" for v in metric.variables]
