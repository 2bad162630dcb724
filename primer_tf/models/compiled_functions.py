"""Compiled functions that follow the model they were compiled for."""

import collections
import contextlib

import keras

from primer_tf.optimizers.t5_adafactor import T5Adafactor


class CompiledFunctions:
    """Lets `fit`, `evaluate`, `predict` and `generate` see a `CausalLM` as it is now; a mixin.

    Keras keeps what it has compiled until the next `compile`. `enable_lora`, `quantize`,
    `trainable`, another sampler or other settings of it change what should run; each function is
    then compiled again when it is called next, and the optimizer made anew for the weights that now
    train: what it knows of the others it keeps.
    """

    _compiled_for = None

    def make_train_function(self, force=False):
        """Returns the function that trains on a batch; see `keras.Model`."""
        self._renew_optimizer()
        return super().make_train_function(force or self._has_changed("train", describe(self)))

    def make_test_function(self, force=False):
        """Returns the function that evaluates a batch; see `keras.Model`."""
        return super().make_test_function(force or self._has_changed("test", describe(self)))

    def make_predict_function(self, force=False):
        """Returns the function that predicts a batch; see `keras.Model`."""
        return super().make_predict_function(force or self._has_changed("predict", describe(self)))

    def make_generate_function(self):
        """Returns the function that generates for a batch; see `keras_hub.models.CausalLM`."""
        sampler = (id(self.sampler), repr(self.sampler.get_config()))
        if self._has_changed("generate", (sampler, describe(self))):
            self.generate_function = None
        return super().make_generate_function()

    def _has_changed(self, function, now):
        before = self._compiled_for or {}
        self._compiled_for = {**before, function: now}
        return before.get(function, now) != now

    def _renew_optimizer(self):
        variables = self.trainable_variables
        known = _variables_of(self.optimizer)
        if known is None or list(map(id, known)) == list(map(id, variables)):
            return
        in_strategy = contextlib.nullcontext()
        if keras.backend.backend() == "tensorflow":
            in_strategy = self.distribute_strategy.scope()
        with in_strategy:
            optimizer = type(self.optimizer).from_config(self.optimizer.get_config())
            optimizer.build(variables)
        _copy_state(self.optimizer, optimizer, known)
        self.optimizer = optimizer

    def _warn_if_trainable_state_changed(self):
        """Keras' advice to call `compile`, which is not needed here."""


def describe(model):
    """Returns what a function compiled for a model depends on, beside the values of its weights.

    Args:
        model: A `keras.Model`.

    Returns:
        A tuple to compare with another.
    """
    weights = ((id(w), w.path, w.trainable) for w in model.weights)
    layers = (
        (layer.dtype_policy.name, layer.trainable, getattr(layer, "lora_enabled", False))
        for layer in model._flatten_layers()
    )
    return (*weights, *layers)


def _variables_of(optimizer):
    """Returns what an optimizer was built for, `None` if it was not built."""
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    built = optimizer is not None and optimizer.built
    return getattr(optimizer, "_trainable_variables", None) if built else None


def _copy_state(old, new, known):
    """Gives an optimizer the steps of another, and what that has for the weights of both."""
    if hasattr(old, "inner_optimizer"):
        _copy_state(old.inner_optimizer, new.inner_optimizer, known)
    # By name, which has the weight's path in it; the path of a slot depends on where it was made.
    sources = _own_variables(old)
    for name, variable in _own_variables(new).items():
        if name in sources and tuple(sources[name].shape) == tuple(variable.shape):
            variable.assign(sources[name])
    if isinstance(new, T5Adafactor):  # whose slots have names that are not unique
        now = set(map(id, _variables_of(new)))
        for weight in known:
            if id(weight) in now:
                for kind, slot in new.slots(weight).items():
                    slot.assign(old.slots(weight)[kind])


def _own_variables(optimizer):
    """Returns the variables of an optimizer that have unique names, without an inner one's."""
    inner = getattr(optimizer, "inner_optimizer", None)
    inside = {id(variable) for variable in inner.variables} if inner is not None else set()
    own = [variable for variable in optimizer.variables if id(variable) not in inside]
    names = collections.Counter(variable.name for variable in own)
    return {variable.name: variable for variable in own if names[variable.name] == 1}
