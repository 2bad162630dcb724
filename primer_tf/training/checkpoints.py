"""Checkpoints of a training run: everything its next step depends on."""

import os
import re
import shutil
from pathlib import Path

import numpy as np

from primer_tf.errors import UserError
from primer_tf.files import atomic_directory

FILE = "variables.npz"


class Checkpoints:
    """A folder of checkpoints, the newest few.

    A checkpoint is `step_NNNNNNNN/variables.npz`: the weights, the optimizer's state and the state
    of the random generators, under their paths. It appears in one piece or not at all, and its
    checksums (those of the zip format) are verified when it is read.

    Args:
        directory: The folder; need not exist.
        keep: How many checkpoints to keep.
    """

    def __init__(self, directory, keep=3):
        self.directory = Path(directory)
        self.keep = keep

    def steps(self):
        """Returns the steps that have a checkpoint, ascending."""
        names = os.listdir(self.directory) if self.directory.is_dir() else []
        return sorted(int(name[5:]) for name in names if re.fullmatch(r"step_\d+", name))

    def _folder(self, step):
        return self.directory / f"step_{step:08d}"

    def save(self, model, step):
        """Saves a compiled model and its optimizer, then removes the oldest checkpoints."""
        with atomic_directory(self._folder(step)) as folder:
            np.savez(folder / FILE, **{k: np.asarray(v) for k, v in _variables(model).items()})
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self._folder(old))

    def restore_newest(self, model, report=print):
        """Restores the newest checkpoint that can be read.

        Args:
            model: A compiled model of the same architecture.
            report: Called with one line for each checkpoint that cannot be read.

        Returns:
            Its step, or 0 when there is no checkpoint.

        Raises:
            UserError: There are checkpoints, but none can be read, or one is of another model.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                arrays = self._read(step)
            except Exception as error:  # a damaged file fails in any way it likes
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                report(
                    f"Checkpoint {self._folder(step)} is corrupt ({reason}); trying an older one."
                )
                continue
            self._assign(model, arrays, step)
            return step
        if steps:
            raise UserError(
                f"No checkpoint in {self.directory} can be read; start again in another folder."
            )
        return 0

    def _read(self, step):
        with np.load(self._folder(step) / FILE) as archive:
            return {key: archive[key] for key in archive.files}

    def _assign(self, model, arrays, step):
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


def _variables(model):
    """Returns all variables that training changes, by a unique name."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    both = [("model", v) for v in model.variables] + [
        ("optimizer", v) for v in model.optimizer.variables
    ]
    # Metrics are not state of the training; paths alone are not unique in an optimizer.
    metrics = {id(v) for metric in model.metrics for v in metric.variables}
    return {
        # The numbers that Keras appends to names count what the process has made before.
        f"{kind}/{index:04d}/" + re.sub(r"_\d+(?=/|$)", "", variable.path): variable
        for index, (kind, variable) in enumerate(both)
        if id(variable) not in metrics
    }
