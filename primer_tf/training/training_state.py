"""The state of the optimizer beside a preset, so that training goes on where it was.

`training_state.npz` in a preset's folder holds the step and the second moments of `T5Adafactor`
(`PATH:KIND`, of the weight with that path; see `T5Adafactor.slots`).
"""

import io
import zipfile
from pathlib import Path

import keras
import numpy as np

from primer_tf.errors import UserError
from primer_tf.files import atomic_write

FILE = "training_state.npz"


def save_training_state(folder, weights, optimizer):
    """Writes the state of an optimizer into a preset's folder.

    Args:
        folder: The folder.
        weights: List of the trained `keras.Variable`.
        optimizer: A built `T5Adafactor`.
    """
    slots = {
        (weight.path, kind): keras.ops.convert_to_numpy(slot)
        for weight in weights
        for kind, slot in optimizer.slots(weight).items()
    }
    write_training_state(folder, int(optimizer.iterations), slots)


def write_training_state(folder, step, slots):
    """Writes a step and slots, a dict from `(path, kind)` to an array."""
    content = io.BytesIO()
    arrays = {f"{path}:{kind}": array for (path, kind), array in slots.items()}
    np.savez(content, step=np.int64(step), **arrays)
    atomic_write(Path(folder) / FILE, content.getvalue())


def read_training_state(folder):
    """Returns `(step, slots)` as `write_training_state` takes them, or `None` if there is none.

    Raises:
        UserError: The file is damaged.
    """
    path = Path(folder) / FILE
    if not path.exists():
        return None
    try:
        with np.load(path) as archive:
            arrays = {name: archive[name] for name in archive.files}
        step = int(arrays.pop("step"))
        return step, {tuple(name.rsplit(":", 1)): array for name, array in arrays.items()}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is damaged ({type(error).__name__}); delete it to train on with a fresh "
            "optimizer."
        ) from error


def restore_training_state(folder, weights, optimizer):
    """Gives an optimizer the state that lies in a preset's folder.

    Args:
        folder: The folder.
        weights: List of the trained `keras.Variable`.
        optimizer: A `T5Adafactor`.

    Returns:
        The step it stands at: 0 if the folder holds no state.

    Raises:
        UserError: The state is damaged, or of another model or optimizer.
    """
    state = read_training_state(folder)
    if state is None:
        return 0
    step, slots = state
    if not optimizer.built:
        optimizer.build(weights)
    for weight in weights:
        for kind, slot in optimizer.slots(weight).items():
            array = slots.get((weight.path, kind))
            if array is None or array.shape != tuple(slot.shape):
                raise UserError(
                    f"{Path(folder) / FILE} is of another model: it has no {kind} of shape "
                    f"{tuple(slot.shape)} for {weight.path}; delete it to train on with a fresh "
                    "optimizer."
                )
            slot.assign(array)
    optimizer.iterations.assign(step)
    return step
