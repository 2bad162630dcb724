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
SHARD_BYTES = 256 * 2**20


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
            self._reader = tf.train.load_checkpoint(self.path)
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


def write_checkpoint(model_dir, step, variables):
    """Writes a checkpoint that Mesh TensorFlow restores, and makes it the newest of its folder.

    It is written in parts beside its place, so that neither memory holds all of it at once nor a
    reader sees half of it.

    Args:
        model_dir: Folder of the checkpoints.
        step: Its step.
        variables: Iterable of `(name, NumPy array)`.

    Returns:
        The checkpoint's path.
    """
    model_dir = Path(model_dir)
    model_dir.mkdir(parents=True, exist_ok=True)
    final = str(model_dir / f"model.ckpt-{step}")
    with tempfile.TemporaryDirectory(dir=model_dir, prefix=".checkpoint-") as parts:
        prefixes = []
        for shard in _shards([(STEP, np.int64(step))], variables):
            prefix = str(Path(parts) / f"part-{len(prefixes)}")
            names, arrays = zip(*shard, strict=True)
            tf.raw_ops.SaveV2(
                prefix=prefix,
                tensor_names=list(names),
                shape_and_slices=[""] * len(names),
                tensors=[tf.convert_to_tensor(array) for array in arrays],
            )
            prefixes.append(prefix)
        tf.raw_ops.MergeV2Checkpoints(
            checkpoint_prefixes=prefixes, destination_prefix=final, delete_old_dirs=False
        )
    atomic_write(model_dir / "checkpoint", f'model_checkpoint_path: "model.ckpt-{step}"\n')
    return final


def _shards(first, variables):
    """Yields lists of `(name, array)` of about `SHARD_BYTES` each, `first` in the first."""
    shard, size = list(first), 0
    for name, array in variables:
        shard.append((name, array))
        size += array.nbytes
        if size >= SHARD_BYTES:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard
