"""Functions of a model, compiled by the backend."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from primer_tf._compat import model_supports_jit


def compile_function(
    model: keras.Model,
    function: Callable,
    jit_compile: bool,
    states: Sequence[keras.Variable] = (),
    others: Sequence[keras.Model] = (),
) -> Callable:
    """Returns a function that uses a model, compiled unless the model runs eagerly.

    On PyTorch it runs without gradients. The function is compiled again for every new shape of its
    arguments.

    Args:
        model: The model, whose layers must not change from now on; the values of its weights may.
        function: A function of tensors, or of nests of tensors.
        jit_compile: Whether XLA compiles the function on TensorFlow. On JAX it always does.
        states: Variables besides the model's that the function uses and may change. Defaults to
            none.
        others: Other models that the function uses. Defaults to none.
    """
    if model.run_eagerly:
        return function
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        jit_compile = jit_compile and model_supports_jit(model)
        return tf.function(function, jit_compile=jit_compile, autograph=False)
    if keras.backend.backend() == "jax":
        return _compiled_by_jax([model, *others], function, states)
    import torch

    return torch.no_grad()(function)


def _compiled_by_jax(
    models: Sequence[keras.Model], function: Callable, states: Sequence[keras.Variable]
) -> Callable:
    import jax

    variables = [*states, *(variable for model in models for variable in model.variables)]

    @jax.jit
    def pure(values: list[Any], *arguments: Any) -> tuple[Any, list[Any]]:
        mapping = zip(variables, values, strict=True)
        with keras.StatelessScope(state_mapping=mapping) as scope:
            outputs = function(*arguments)
        return outputs, [scope.get_current_value(variable) for variable in states]

    def call(*arguments: Any) -> Any:
        outputs, values = pure([variable.value for variable in variables], *arguments)
        for variable, value in zip(states, values, strict=True):
            variable.assign(value)
        return outputs

    return call
