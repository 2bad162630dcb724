"""Reading and writing the TensorFlow checkpoints of Mesh TensorFlow, one variable at a time."""

import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from primer_tf.errors import UserError
from primer_tf.files import atomic_write
from primer_tf.mesh.runtime import checkpoints

STEP = "global_step"
# The second moments of Mesh TensorFlow's Adafactor, by the ending of their names.
SLOTS = {"v": "_slot_v", "vr": "_slot_vr", "vc": "_slot_vc"}

# Bytes of variables that are written at a time.
PART_BYTES = 64 * 2**20


class MeshCheckpoint:
    """A checkpoint of Mesh TensorFlow, opened for reading.

    Args:
        model_dir: Folder of the checkpoints.
        step: Step of the one to open; default: the newest.

    Attributes:
        step: Its step.
        shapes: Dict from variable name to shape; neither the step nor the optimizer's slots.
        slot_shapes: Dict from slot name to shape.

    Raises:
        UserError: There is no such checkpoint, or it is damaged.
    """

    def __init__(self, model_dir, step=None):
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

    def read(self, name):
        """Returns the value of a variable as a NumPy array."""
        with checkpoints.explained(self.path):
            return self._reader.get_tensor(name)


class CheckpointWriter:
    """Writes a checkpoint that Mesh TensorFlow restores, and makes it the newest of its folder.

    It is written in parts beside its place, so that neither memory holds all of it at once nor a
    reader sees half of it; when the `with` block fails, nothing is left.

    Args:
        model_dir: Folder of the checkpoints.
        step: Its step.
    """

    def __init__(self, model_dir, step):
        self.model_dir = Path(model_dir)
        self.step = step

    def __enter__(self):
        """Makes the folder of the parts."""
        self.model_dir.mkdir(parents=True, exist_ok=True)
        self._parts = tempfile.TemporaryDirectory(dir=self.model_dir, prefix=".checkpoint-")
        self._prefixes, self._waiting = [], {}
        self.add(STEP, np.int64(self.step))
        return self

    def add(self, name, array):
        """Adds the value of a variable."""
        self._waiting[name] = array
        if sum(array.nbytes for array in self._waiting.values()) >= PART_BYTES:
            self._write_part()

    def _write_part(self):
        prefix = str(Path(self._parts.name) / f"part-{len(self._prefixes)}")
        tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=list(self._waiting),
            shape_and_slices=[""] * len(self._waiting),
            tensors=[tf.convert_to_tensor(array) for array in self._waiting.values()],
        )
        self._prefixes.append(prefix)
        self._waiting = {}

    def __exit__(self, error, *_):
        """Puts the parts together in their place."""
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
