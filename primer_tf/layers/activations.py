"""Activation functions that Keras does not name."""

import keras
from keras import ops
from keras.src.activations import ALL_OBJECTS_DICT


@keras.saving.register_keras_serializable(package="primer_tf")
def squared_relu(x):
    """Squared ReLU, `max(x, 0)^2` (Primer, section 4.1 "Squared ReLU").

    Any Keras layer takes it by name once `primer_tf.layers` is imported.

    Args:
        x: Tensor of any shape.

    Returns:
        Tensor of the shape and dtype of `x`.

    Example:

    >>> keras.layers.Dense(2048, activation="squared_relu")
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


# Keras looks names up in this table and offers no public way to add to it.
ALL_OBJECTS_DICT.update({"squared_relu": squared_relu, "gelu_tanh": gelu_tanh})


def get(identifier):
    """Returns an activation function by name, as `keras.activations.get` does.

    Args:
        identifier: Name, function or serialized function.

    Returns:
        A function from tensor to tensor.

    Raises:
        ValueError: No activation has this name.
    """
    try:
        return keras.activations.get(identifier)
    except ValueError as error:
        known = ", ".join(sorted(name for name in ALL_OBJECTS_DICT if name))
        raise ValueError(f"Unknown activation {identifier!r}. Known ones: {known}.") from error
