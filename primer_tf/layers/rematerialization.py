"""Gradient checkpointing of a Keras layer that draws random numbers or adds losses."""

from collections.abc import Callable

import keras
from keras import ops

from primer_tf._compat import get_stateless_scope, in_stateless_scope
from primer_tf.types import Tensor


def rematerialize(
    layer: keras.layers.Layer, function: Callable[..., Tensor]
) -> Callable[..., tuple[Tensor, list[Tensor]]]:
    """Returns `function` with a gradient that recomputes its activations instead of keeping them.

    `keras.remat` does this for functions without state. Here both computations start from the same
    state of the random generators, which ends as after one computation. Losses that are added
    inside are returned, because they would otherwise belong to a computation that is discarded.

    Args:
        layer: The layer that `function` calls. Of its variables, only the states of random
            generators may change.
        function: A function from tensors to a tensor. All tensors that need a gradient must be
            arguments, because TensorFlow gives captured ones none.

    Returns:
        A function from the same tensors to `(tensor, losses)`, where `losses` are those that were
        added by `add_loss` inside.
    """
    weights = {id(weight) for weight in layer.weights}
    states = [v for v in layer.variables if id(v) not in weights]

    # On JAX, `fit` gives variables their values in such a scope, and they must hold inside too.
    outer = []
    if in_stateless_scope():
        values = [(v, get_stateless_scope().get_current_value(v)) for v in layer.weights]
        outer = [(v, value) for v, value in values if value is not None]

    def rematerialized(*tensors: Tensor) -> tuple[Tensor, list[Tensor]]:
        mapping = [*outer, *((state, ops.copy(state)) for state in states)]

        def stateless(*tensors):
            with keras.StatelessScope(mapping, collect_losses=True) as scope:
                y = function(*tensors)
            return y, scope.losses, [scope.get_current_value(state) for state in states]

        y, losses, values = keras.remat(stateless)(*tensors)
        for state, value in zip(states, values, strict=True):
            state.assign(value)
        return y, losses

    return rematerialized
