"""The moving averages that Keras' optimizers keep of the weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
from keras import ops

from primer_tf._compat import moving_averages


@contextmanager
def averaged_weights(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Gives the weights their moving averages in the block, if the optimizer keeps any.

    Args:
        optimizer: A built optimizer.
    """
    _swap(optimizer)
    try:
        yield
    finally:
        _swap(optimizer)


def _swap(optimizer: keras.optimizers.Optimizer) -> None:
    # One by one, so that the memory is that of one more weight.
    for weight, average in moving_averages(optimizer):
        value = ops.copy(weight)
        weight.assign(average)
        average.assign(value)


def start_averages(optimizer: keras.optimizers.Optimizer) -> None:
    """Lets the averages start at the weights, whatever the number of updates done before.

    Args:
        optimizer: A built optimizer.
    """
    for weight, average in moving_averages(optimizer):
        average.assign(ops.copy(weight))  # JAX' `fit` gives each buffer away, and only once.


def use_averages(optimizer: keras.optimizers.Optimizer) -> None:
    """Gives the weights their moving averages for good, if the optimizer keeps any.

    Args:
        optimizer: A built optimizer.
    """
    for weight, average in moving_averages(optimizer):
        weight.assign(ops.copy(average))


def keep_weights_after_fit(optimizer: keras.optimizers.Optimizer) -> None:
    """Stops `fit` from ending with the averages in place of the weights.

    A run that calls `fit` once an epoch goes on with the weights.

    Args:
        optimizer: The optimizer of a compiled model.
    """
    optimizer.finalize_variable_values = lambda variables: None
