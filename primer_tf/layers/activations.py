"""Activation functions that Keras has no name for."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from primer_tf.types import Activation, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
def squared_relu(x: Tensor) -> Tensor:
    """Squared ReLU, `max(x, 0)^2` (Primer, section 4.1 "Squared ReLU").

    Args:
        x: Tensor of any shape.

    Returns:
        Tensor of the shape and dtype of `x`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from primer_tf.layers import squared_relu
    >>> keras.ops.convert_to_numpy(squared_relu(np.array([-2.0, 3.0]))).tolist()
    [0.0, 9.0]
    """
    return ops.square(ops.relu(x))


@keras.saving.register_keras_serializable(package="primer_tf")
def gelu_tanh(x: Tensor) -> Tensor:
    """GELU in the tanh approximation, which Mesh TensorFlow calls `gelu`.

    Args:
        x: Tensor of any shape.

    Returns:
        Tensor of the shape and dtype of `x`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from primer_tf.layers import gelu_tanh
    >>> keras.ops.convert_to_numpy(gelu_tanh(np.array([-1.0, 1.0]))).round(2).tolist()
    [-0.16, 0.84]
    """
    return ops.gelu(x, approximate=True)


ACTIVATIONS = {"squared_relu": squared_relu, "gelu_tanh": gelu_tanh}


def get(identifier: Activation | dict[str, Any] | None) -> Callable[[Tensor], Tensor]:
    """Returns an activation function of this module or of Keras.

    Args:
        identifier: A name, a function, a serialized function, or `None` for the identity.

    Returns:
        A function from tensor to tensor.

    Raises:
        ValueError: No activation has this name.
    """
    if isinstance(identifier, str) and identifier in ACTIVATIONS:
        return ACTIVATIONS[identifier]
    try:
        return keras.activations.get(identifier)
    except ValueError as error:
        names = {*ACTIVATIONS, *(n for n in vars(keras.activations) if not n.startswith("_"))}
        known = ", ".join(sorted(names - {"get", "serialize", "deserialize"}))
        raise ValueError(f"Unknown activation {identifier!r}. Known ones: {known}.") from error


def serialize(activation: Callable[[Tensor], Tensor]) -> str | dict[str, Any]:
    """Returns the name of an activation function, or the serialized function if it has none."""
    for name, function in ACTIVATIONS.items():
        if activation is function:
            return name
    return keras.activations.serialize(activation)
