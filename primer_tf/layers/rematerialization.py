"""Gradient checkpointing of a Keras layer that draws random numbers or adds losses."""

import keras
from keras import ops

from primer_tf._compat import get_stateless_scope, in_stateless_scope


def rematerialize(layer, function):
    """Returns `function` with activations that its gradient computes again instead of keeping.

    `keras.remat` does that for functions without state. Here each of the two computations starts
    from the same state of the random generators, which afterwards are as if there had been one; and
    losses that are added inside come out, for else they would belong to a computation that is gone.

    Args:
        layer: The layer that `function` calls. Its variables may be used inside, but of those only
            the states of random generators may change.
        function: From tensors to a tensor. Whatever else needs a gradient must be among its
            arguments: TensorFlow forgets what is captured.

    Returns:
        A function from the same tensors to `(tensor, losses)`; `losses` is the list of what was
        added by `add_loss` inside.
    """
    weights = {id(weight) for weight in layer.weights}
    states = [v for v in layer.variables if id(v) not in weights]

    # On JAX, where `fit` gives variables their values by such a scope, those hold inside too.
    outer = []
    if in_stateless_scope():
        values = [(v, get_stateless_scope().get_current_value(v)) for v in layer.weights]
        outer = [(v, value) for v, value in values if value is not None]

    def rematerialized(*tensors):
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
