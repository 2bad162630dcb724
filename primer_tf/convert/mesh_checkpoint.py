"""Reads and writes the checkpoints of Mesh TensorFlow, one variable at a time."""

import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np
import tensorflow as tf

from primer_tf.errors import UserError
from primer_tf.files import atomic_write
from primer_tf.mesh.runtime import checkpoints
from primer_tf.types import StrPath

STEP = "global_step"
# Suffixes of the names of Adafactor's second moments in Mesh TensorFlow.
SLOTS = {"v": "_slot_v", "vr": "_slot_vr", "vc": "_slot_vc"}

# The writer holds about this many bytes of variables before it writes them.
PART_BYTES = 64 * 2**20


class MeshCheckpoint:
    """A checkpoint of Mesh TensorFlow, opened for reading.

    Args:
        model_dir: Folder of the checkpoints.
        step: Step of the checkpoint, by default the newest.

    Attributes:
        step: The checkpoint's step.
        shapes: Dict from variable name to shape, without the step and the optimizer's slots.
        slot_shapes: Dict from slot name to shape.

    Raises:
        UserError: If the checkpoint does not exist or is damaged.
    """

    def __init__(self, model_dir: StrPath, step: int | None = None) -> None:
        if not Path(model_dir).is_dir():
            raise UserError(f"There is no folder {model_dir}.")
        if step is None:
            self.path = checkpoints.required(model_dir)
        else:
            self.path = str(Path(model_dir) / f"model.ckpt-{step}")
            if not Path(self.path + ".index").exists():
                raise UserError(f"There is no checkpoint of step {step} in {model_dir}.")
        with checkpoints.explained(self.path):
            self._reader = checkpoints.reader(self.path)
            shapes = self._reader.get_variable_to_shape_map()
        if STEP not in shapes:
            raise UserError(f"{self.path} is not a training checkpoint: it has no {STEP}.")
        self.step = int(self.read(STEP))
        endings = tuple(SLOTS.values())
        slots = {name for name in shapes if name.endswith(endings)}
        self.slot_shapes = {name: tuple(shapes[name]) for name in slots}
        self.shapes = {n: tuple(s) for n, s in shapes.items() if n not in slots and n != STEP}

    def read(self, name: str) -> np.ndarray:
        """Returns the value of a variable."""
        with checkpoints.explained(self.path):
            return self._reader.get_tensor(name)


class CheckpointWriter:
    """Writes a checkpoint for Mesh TensorFlow, and makes it the newest of its folder.

    The writer is a context manager. It writes parts to a temporary folder and merges them at the
    end, so memory never holds the whole checkpoint and readers never see half of it. If the `with`
    block fails, nothing is left.

    Args:
        model_dir: Folder of the checkpoints.
        step: Step of the checkpoint.
    """

    def __init__(self, model_dir: StrPath, step: int) -> None:
        self.model_dir = Path(model_dir)
        self.step = step

    def __enter__(self) -> "CheckpointWriter":
        """Creates the temporary folder."""
        self.model_dir.mkdir(parents=True, exist_ok=True)
        self._parts = tempfile.TemporaryDirectory(dir=self.model_dir, prefix=".checkpoint-")
        self._prefixes: list[str] = []
        self._waiting: dict[str, np.ndarray | np.generic] = {}
        self.add(STEP, np.int64(self.step))
        return self

    def add(self, name: str, array: np.ndarray | np.generic) -> None:
        """Adds the value of a variable."""
        self._waiting[name] = array
        if sum(array.nbytes for array in self._waiting.values()) >= PART_BYTES:
            self._write_part()

    def _write_part(self) -> None:
        prefix = str(Path(self._parts.name) / f"part-{len(self._prefixes)}")
        tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=list(self._waiting),
            shape_and_slices=[""] * len(self._waiting),
            tensors=[tf.convert_to_tensor(array) for array in self._waiting.values()],
        )
        self._prefixes.append(prefix)
        self._waiting = {}

    def __exit__(
        self,
        error: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Merges the parts into the checkpoint, or discards them after an error."""
        with self._parts:
            if error is not None:
                return
            if self._waiting:
                self._write_part()
            name = f"model.ckpt-{self.step}"
            tf.raw_ops.MergeV2Checkpoints(
                checkpoint_prefixes=self._prefixes,
                destination_prefix=str(self.model_dir / name),
                delete_old_dirs=False,
            )
            atomic_write(self.model_dir / "checkpoint", f'model_checkpoint_path: "{name}"\n')
