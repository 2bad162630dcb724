"""The optimizer's state beside a preset, which lets training continue from the preset.

`training_state.npz` in a preset's folder holds the step and the second moments of `T5Adafactor`.
The moments are named `PATH:KIND`, with the path of the weight and a kind of `T5Adafactor.slots`.
"""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from primer_tf.errors import UserError
from primer_tf.files import DamagedFileError, atomic_write, read_npz
from primer_tf.optimizers.t5_adafactor import t5_adafactor_in
from primer_tf.types import StrPath

FILE = "training_state.npz"
# Second moments by the path of their weight and their kind.
Slots = dict[tuple[str, str], np.ndarray]


def save_training_state(
    folder: StrPath, weights: Iterable[keras.Variable], optimizer: keras.optimizers.Optimizer
) -> None:
    """Writes the state of an optimizer into a preset's folder.

    Args:
        folder: The folder.
        weights: The trained weights.
        optimizer: A built `T5Adafactor`, or a `LossScaleOptimizer` around one.
    """
    optimizer = t5_adafactor_in(optimizer)
    slots = {
        (weight.path, kind): keras.ops.convert_to_numpy(slot)
        for weight in weights
        for kind, slot in optimizer.slots(weight).items()
    }
    step = int(keras.ops.convert_to_numpy(optimizer.iterations))
    write_training_state(folder, step, slots)


def write_training_state(
    folder: StrPath, step: int, slots: Mapping[tuple[str, str], np.ndarray]
) -> None:
    """Writes a step and second moments into a preset's folder.

    Args:
        folder: The folder.
        step: Number of updates done.
        slots: Second moments by the path of their weight and their kind.
    """
    content = io.BytesIO()
    arrays: dict[str, Any] = {f"{path}:{kind}": slot for (path, kind), slot in slots.items()}
    np.savez(content, step=np.int64(step), **arrays)
    atomic_write(Path(folder) / FILE, content.getvalue())


def read_training_state(folder: StrPath) -> tuple[int, Slots] | None:
    """Reads what `write_training_state` wrote.

    Args:
        folder: The folder.

    Returns:
        `(step, slots)`, or `None` if the folder has no state.

    Raises:
        UserError: The file is damaged, or cannot be read at present.
    """
    path = Path(folder) / FILE
    if not path.exists():
        return None
    try:
        arrays = read_npz(path)
        step = int(arrays.pop("step"))
        names = {name: name.rpartition(":") for name in arrays}
        return step, {(path, kind): arrays[name] for name, (path, _, kind) in names.items()}
    except (DamagedFileError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({type(error.__cause__ or error).__name__}); delete it to train on "
            "with a fresh optimizer."
        ) from error


def slots_of(
    folder: StrPath, weights: Iterable[keras.Variable], optimizer: keras.optimizers.Optimizer
) -> tuple[int, Slots]:
    """Reads the state in a preset's folder and checks that it belongs to some weights.

    Args:
        folder: The folder.
        weights: The trained weights.
        optimizer: A `T5Adafactor`, or a `LossScaleOptimizer` around one.

    Returns:
        `(step, slots)`: step 0 and zeros if the folder has no state.

    Raises:
        UserError: The state is damaged, or belongs to another model or optimizer.
    """
    optimizer = t5_adafactor_in(optimizer)
    state = read_training_state(folder)
    step, slots = state or (0, {})
    found: Slots = {}
    for weight in weights:
        for kind, shape in optimizer.slot_shapes(tuple(weight.shape)).items():
            array: np.ndarray | None = slots.get((weight.path, kind))
            if state is None:
                array = np.zeros(shape, "float32")
            if array is None or array.shape != shape:
                raise UserError(
                    f"{Path(folder) / FILE} is of another model: it has no {kind} of shape {shape} "
                    f"for {weight.path}; without that file training starts with a fresh optimizer."
                )
            found[weight.path, kind] = array
    return step, found


def restore_training_state(
    folder: StrPath, weights: Iterable[keras.Variable], optimizer: keras.optimizers.Optimizer
) -> int:
    """Gives an optimizer the state in a preset's folder.

    Args:
        folder: The folder.
        weights: The trained weights.
        optimizer: A `T5Adafactor`, or a `LossScaleOptimizer` around one. It is built if necessary.

    Returns:
        The number of updates done: 0 if the folder has no state.

    Raises:
        UserError: The state is damaged, or belongs to another model or optimizer.
    """
    step, slots = slots_of(folder, weights, optimizer)
    if step:
        if not optimizer.built:
            optimizer.build(weights)
        adafactor = t5_adafactor_in(optimizer)
        assert adafactor is not None
        adafactor.restore(step, lambda weight, kind: slots[weight.path, kind])
    return step
