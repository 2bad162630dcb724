"""Loads and saves models while memory holds one variable at a time.

`without_values` builds a model whose variables have shapes but no values. Keras then computes the
value of a variable with its initializer every time it needs it.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import keras
import numpy as np

from primer_tf._compat import forget_uninitialized_variables
from primer_tf.models import PrimerBackbone
from primer_tf.types import StrPath, Tensor

Model = TypeVar("Model")


def without_values(build: Callable[[], Model]) -> Model:
    """Returns the result of `build()`, whose variables have no values."""
    with keras.StatelessScope(initialize_variables=False):
        model = build()
    forget_uninitialized_variables()
    return model


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
