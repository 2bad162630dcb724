"""Loads and saves models without values while memory holds one variable at a time."""

from collections.abc import Callable, Iterable
from pathlib import Path

import keras
import numpy as np

from primer_tf.models import PrimerBackbone
from primer_tf.types import StrPath, Tensor


def read_from(variables: Iterable[keras.Variable], read: Callable[[str], Tensor]) -> None:
    """Lets variables without values read them when the model is saved.

    Args:
        variables: List of `keras.Variable` of a model built by `without_values`.
        read: A function from a variable's path to its value.
    """
    for variable in variables:

        def initializer(shape, dtype, path=variable.path):
            return keras.ops.convert_to_tensor(read(path), dtype=dtype)

        variable._initializer = initializer


def stream_weights(
    backbone: PrimerBackbone, preset_dir: StrPath, write: Callable[[str, np.ndarray], object]
) -> None:
    """Reads the weights of a preset one by one.

    Args:
        backbone: The preset's `PrimerBackbone`, built by `without_values`.
        preset_dir: A preset directory.
        write: A function that is called with the path and the value of each variable.
    """
    for variable in backbone.weights:

        def assign(value, path=variable.path):
            write(path, keras.ops.convert_to_numpy(value))

        variable.assign = assign
    sharded = Path(preset_dir) / "model.weights.json"
    backbone.load_weights(sharded if sharded.exists() else Path(preset_dir) / "model.weights.h5")
