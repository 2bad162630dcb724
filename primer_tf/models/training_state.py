"""The state of the optimizer beside a preset, so that training goes on where it was.

`training_state.npz` in a preset's folder holds the step and the second moments of `T5Adafactor`
(`PATH:KIND`, of the weight with that path; see `T5Adafactor.slots`).
"""

import io
from pathlib import Path

import keras
import numpy as np

from primer_tf.errors import UserError
from primer_tf.files import DamagedFileError, atomic_write, read_npz
from primer_tf.optimizers.t5_adafactor import t5_adafactor_in

FILE = "training_state.npz"


def save_training_state(folder, weights, optimizer):
    """Writes the state of an optimizer into a preset's folder.

    Args:
        folder: The folder.
        weights: List of the trained `keras.Variable`.
        optimizer: A built `T5Adafactor`, perhaps in a `LossScaleOptimizer`.
    """
    optimizer = t5_adafactor_in(optimizer)
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
        UserError: The file is damaged, or cannot be read at present.
    """
    path = Path(folder) / FILE
    if not path.exists():
        return None
    try:
        arrays = read_npz(path)
        step = int(arrays.pop("step"))
        return step, {tuple(name.rsplit(":", 1)): array for name, array in arrays.items()}
    except (DamagedFileError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({type(error.__cause__ or error).__name__}); delete it to train on "
            "with a fresh optimizer."
        ) from error


def slots_of(folder, weights, optimizer):
    """Returns the state that lies in a preset's folder, checked against its weights.

    Args:
        folder: The folder.
        weights: List of the trained `keras.Variable`.
        optimizer: A `T5Adafactor`, perhaps in a `LossScaleOptimizer`.

    Returns:
        `(step, slots)`; step 0 and zeros if the folder holds no state.

    Raises:
        UserError: The state is damaged, or of another model or optimizer.
    """
    optimizer = t5_adafactor_in(optimizer)
    state = read_training_state(folder)
    step, slots = state or (0, {})
    found = {}
    for weight in weights:
        for kind, shape in optimizer.slot_shapes(tuple(weight.shape)).items():
            array = slots.get((weight.path, kind))
            if state is None:
                array = np.zeros(shape, "float32")
            if array is None or array.shape != shape:
                raise UserError(
                    f"{Path(folder) / FILE} is of another model: it has no {kind} of shape {shape} "
                    f"for {weight.path}; without that file training starts with a fresh optimizer."
                )
            found[weight.path, kind] = array
    return step, found


def restore_training_state(folder, weights, optimizer):
    """Gives an optimizer the state that lies in a preset's folder; see `slots_of`.

    Returns:
        The step it stands at: 0 if the folder holds no state.
    """
    step, slots = slots_of(folder, weights, optimizer)
    if step:
        if not optimizer.built:
            optimizer.build(weights)
        t5_adafactor_in(optimizer).restore(step, lambda weight, kind: slots[weight.path, kind])
    return step
