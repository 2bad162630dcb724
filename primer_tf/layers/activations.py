"""Activation functions that Keras does not name."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="primer_tf")
def squared_relu(x):
    """Squared ReLU, `max(x, 0)^2` (Primer, section 4.1 "Squared ReLU").

    Args:
        x: Tensor of any shape.

    Returns:
        Tensor of the shape and dtype of `x`.

    Example:

    >>> keras.layers.Dense(2048, activation=squared_relu)
    """
    return ops.square(ops.relu(x))


@keras.saving.register_keras_serializable(package="primer_tf")
def gelu_tanh(x):
    """GELU in the tanh approximation, the one Mesh TensorFlow calls `gelu`.

    Args:
        x: Tensor of any shape.

    Returns:
        Tensor of the shape and dtype of `x`.
    """
    return ops.gelu(x, approximate=True)


ACTIVATIONS = {"squared_relu": squared_relu, "gelu_tanh": gelu_tanh}


def get(identifier):
    """Returns an activation function by name, one of the above or of Keras'.

    Args:
        identifier: Name, function, serialized function, or `None` for the identity.

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


def serialize(activation):
    """Returns what `get` takes: a name where there is one, else a serialized function."""
    for name, function in ACTIVATIONS.items():
        if activation is function:
            return name
    return keras.activations.serialize(activation)
