"""Checkpoints of a training run: everything its next step depends on."""

import contextlib
import os
import re
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

import keras

from primer_tf.distribution.hosts import ALONE, Hosts
from primer_tf.errors import UserError
from primer_tf.files import DamagedFileError
from primer_tf.training import npz_checkpoint, orbax_checkpoint
from primer_tf.training.npz_checkpoint import NpzWriter
from primer_tf.training.orbax_checkpoint import OrbaxWriter
from primer_tf.types import StrPath, Tensor


class Checkpoints(contextlib.AbstractContextManager):
    """A folder of checkpoints, the newest few.

    A checkpoint is a folder `step_NNNNNNNN` with the weights, the optimizer's state, the state of
    the random generators and the mean loss since the last evaluation, under their paths. It appears
    in one piece or not at all, and checksums are verified when it is read.

    It is written while training goes on: on JAX by Orbax, each device its parts of the arrays, and
    otherwise by NumPy. Orbax needs JAX, so the other backends have a format of their own. Every
    backend reads both, and on JAX any number of devices does.

    As a context manager it waits at the end of the block until all is written.

    Args:
        directory: The folder; need not exist.
        keep: How many checkpoints to keep. While a new one is written, there is one more.
        hosts: The `Hosts` that share the folder, of which the first one removes checkpoints. By
            default there is one.
    """

    def __init__(self, directory: StrPath, keep: int = 3, hosts: Hosts = ALONE) -> None:
        self.directory = Path(directory)
        self.keep = keep
        self.hosts = hosts
        by_orbax = keras.backend.backend() == "jax" and find_spec("orbax") is not None
        self._writer: NpzWriter | OrbaxWriter = OrbaxWriter() if by_orbax else NpzWriter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # An error of the block says more than one of the writer.
        with contextlib.nullcontext() if error is None else contextlib.suppress(Exception):
            self.wait()

    def steps(self) -> list[int]:
        """Returns the steps that have a checkpoint, ascending."""
        names = os.listdir(self.directory) if self.directory.is_dir() else []
        return sorted(int(name[5:]) for name in names if re.fullmatch(r"step_\d+", name))

    def _folder(self, step: int) -> Path:
        return self.directory / f"step_{step:08d}"

    def save(self, model: keras.Model, step: int) -> None:
        """Starts to save a compiled model and its optimizer.

        It returns when all values are copied, and first waits for the last checkpoint.

        Args:
            model: The model.
            step: The number of steps done.
        """
        self.wait()
        self._writer.save(self._folder(step), _variables(model))

    def wait(self) -> None:
        """Waits until the last checkpoint is written, then removes the oldest ones.

        Raises:
            OSError: It cannot be written.
        """
        self._writer.wait()
        if not self.hosts.is_first:
            return
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
        if self.hosts.is_first:
            orbax_checkpoint.remove_unfinished(self.directory)
        variables, steps = _variables(model), self.steps()
        self.hosts.check_equal(checkpoints=steps)
        for step in reversed(steps):
            folder = self._folder(step)
            try:
                if (folder / orbax_checkpoint.METADATA).exists():
                    arrays = orbax_checkpoint.read(folder, variables)
                else:
                    arrays = npz_checkpoint.read(folder)
            except DamagedFileError as error:
                report(f"Checkpoint {folder} is corrupt ({error}); trying an older one.")
                continue
            _assign(variables, arrays, folder)
            return step
        if steps:
            raise UserError(
                f"No checkpoint in {self.directory} can be read; start again in another folder."
            )
        return 0


def _assign(variables: dict[str, keras.Variable], arrays: dict[str, Tensor], folder: Path) -> None:
    for name, variable in variables.items():
        if name not in arrays or tuple(arrays[name].shape) != tuple(variable.shape):
            found = tuple(arrays[name].shape) if name in arrays else "nothing"
            raise UserError(
                f"Checkpoint {folder} is of another model: expected {name} of shape "
                f"{tuple(variable.shape)}, found {found}."
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])


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
