"""Checks of shapes and sizes with messages of one clear line."""

from typing import Any

import keras

from primer_tf.types import Shape


def check_rank(layer: keras.layers.Layer, name: str, shape: Shape, rank: int, axes: str) -> None:
    """Checks the number of axes of an argument.

    Args:
        layer: The layer that has the argument.
        name: Name of the argument.
        shape: Shape of the argument.
        rank: Number of axes that it must have.
        axes: The axes, for the message, such as `"[batch, time, channels]"`.

    Raises:
        ValueError: The number of axes is another.
    """
    if len(shape) != rank:
        raise ValueError(
            f"{type(layer).__name__} expects `{name}` of shape {axes}; received shape "
            f"{tuple(shape)}."
        )


def check_positive(layer: keras.layers.Layer, name: str, value: Any) -> None:
    """Raises `ValueError` unless `value` is an integer of at least 1 and below 2**31."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**31:
        raise ValueError(
            f"{type(layer).__name__} needs `{name}` to be an integer of at least 1 and below "
            f"2**31; received {value!r}."
        )
