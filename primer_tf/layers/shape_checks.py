"""Checks that turn a wrong shape into one clear line."""


def check_rank(layer, name, shape, rank, axes):
    """Raises `ValueError` unless `shape` has `rank` axes.

    Args:
        layer: The layer that complains.
        name: Name of the argument.
        shape: Its shape.
        rank: The number of axes it must have.
        axes: What those axes are, for the message, such as `"[batch, time, channels]"`.
    """
    if len(shape) != rank:
        raise ValueError(
            f"{type(layer).__name__} expects `{name}` of shape {axes}; received shape "
            f"{tuple(shape)}."
        )


def check_positive(layer, name, value):
    """Raises `ValueError` unless `value` is an integer of at least 1 and below 2**31."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**31:
        raise ValueError(
            f"{type(layer).__name__} needs `{name}` to be an integer of at least 1 and below "
            f"2**31; received {value!r}."
        )
