"""Models whose variables have shapes but no values."""

from collections.abc import Callable
from typing import TypeVar

import keras

from primer_tf._compat import forget_uninitialized_variables

Model = TypeVar("Model")


def without_values(build: Callable[[], Model]) -> Model:
    """Returns the result of `build()`, whose variables have no values.

    Keras computes the value of such a variable with its initializer every time it needs it.

    Args:
        build: A function that makes variables.
    """
    with keras.StatelessScope(initialize_variables=False):
        model = build()
    forget_uninitialized_variables()
    return model
