"""Compiled functions that follow the model they were compiled for."""

import collections
import contextlib
from collections.abc import Callable
from typing import Any

import keras

from primer_tf._compat import flatten_layers, model_supports_jit, trained_variables
from primer_tf.models.causal_lm_mixin import CausalLMMixin
from primer_tf.models.default_optimizer import default_optimizer
from primer_tf.models.speculative_decoding import SpeculativeDecoding
from primer_tf.optimizers.t5_adafactor import T5Adafactor


class CompiledFunctions(CausalLMMixin):
    """A mixin whose compiled functions follow changes of the model.

    Keras keeps its compiled functions until the next `compile`, although `enable_lora`, `quantize`,
    `trainable`, another sampler or new settings of the sampler change what they should compute.
    Here `fit`, `evaluate`, `predict` and `generate` compile their function again after such a
    change. If other weights train than before, `fit` also makes a new optimizer for them, which
    takes over the state of the old one if it is of the same kind.

    The model has `_jit_generate`, whether XLA compiles generation, and `_optimizer_by_default`,
    whether `compile` chose the optimizer.
    """

    optimizer: Any
    _speculative_decoding: SpeculativeDecoding | None
    _optimizer_by_default: bool
    _compiled_for: dict[str, Any] | None = None

    def make_train_function(self, force: bool = False) -> Callable:
        """Returns the function that trains on a batch; see `keras.Model`."""
        self._renew_optimizer()
        return super().make_train_function(force or self._has_changed("train", describe(self)))

    def make_test_function(self, force: bool = False) -> Callable:
        """Returns the function that evaluates a batch; see `keras.Model`."""
        return super().make_test_function(force or self._has_changed("test", describe(self)))

    def make_predict_function(self, force: bool = False) -> Callable:
        """Returns the function that predicts a batch; see `keras.Model`."""
        return super().make_predict_function(force or self._has_changed("predict", describe(self)))

    def make_generate_function(self) -> Callable:
        """Returns the function that generates for a batch; see `keras_hub.models.CausalLM`."""
        sampler = (id(self.sampler), repr(self.sampler.get_config()))
        speculative = self._speculative_decoding
        models = [describe(model) for model in speculative.draft.models] if speculative else []
        if self._has_changed("generate", (sampler, id(speculative), models, describe(self))):
            self.generate_function = None
        if self.generate_function is None and speculative is not None:
            self.generate_function = speculative.make_generate_function()
        if (
            self.generate_function is None
            and keras.backend.backend() == "tensorflow"
            and not self.run_eagerly
        ):
            import tensorflow as tf

            # KerasHub would take the choice for training, but XLA makes generation faster on CPUs
            # too.
            jit_compile = self._jit_generate and model_supports_jit(self)
            self.generate_function = tf.function(
                self.generate_step, jit_compile=jit_compile, autograph=False
            )
        return super().make_generate_function()

    def _has_changed(self, function: str, now: Any) -> bool:
        before = self._compiled_for or {}
        self._compiled_for = {**before, function: now}
        return before.get(function, now) != now

    def _renew_optimizer(self) -> None:
        old, variables = self.optimizer, self.trainable_variables
        if old is None:
            return
        known = trained_variables(old)
        in_strategy: contextlib.AbstractContextManager = contextlib.nullcontext()
        if keras.backend.backend() == "tensorflow":
            in_strategy = self.distribute_strategy.scope()
        with in_strategy:
            new = default_optimizer(self.backbone) if self._optimizer_by_default else old
            if type(new) is type(old):
                if known is None or list(map(id, known)) == list(map(id, variables)):
                    return
                new = type(old).from_config(old.get_config())
            new.build(variables)
        if known is not None and type(new) is type(old):
            _copy_state(old, new, known)
        self.optimizer = new

    def _warn_if_trainable_state_changed(self) -> None:
        """Does nothing: Keras would advise to call `compile`, which is not necessary here."""


def describe(model: Any) -> tuple:
    """Returns what a model's compiled functions depend on, except the values of its weights.

    Args:
        model: A `keras_hub.models.CausalLM`. Its preprocessor runs outside, and makes a layer when
            it is first used.

    Returns:
        A tuple that changes when a function must be compiled again.
    """
    weights = ((id(w), w.path, w.trainable) for w in model.weights)
    layers = (
        (layer.dtype_policy.name, layer.trainable, getattr(layer, "lora_enabled", False))
        for layer in flatten_layers(model.backbone)
    )
    return (*weights, *layers)


def _copy_state(old: Any, new: Any, known: list[keras.Variable]) -> None:
    """Copies an optimizer's steps, and its state of the weights that both optimizers train."""
    if hasattr(old, "inner_optimizer"):
        _copy_state(old.inner_optimizer, new.inner_optimizer, known)
    # By name, which includes the weight's path; the path of a slot depends on where it was made.
    sources = _own_variables(old)
    for name, variable in _own_variables(new).items():
        if name in sources and tuple(sources[name].shape) == tuple(variable.shape):
            variable.assign(sources[name])
    if isinstance(new, T5Adafactor):  # The names of its slots are not unique.
        now = set(map(id, trained_variables(new) or ()))
        for weight in known:
            if id(weight) in now:
                for kind, slot in new.slots(weight).items():
                    slot.assign(old.slots(weight)[kind])


def _own_variables(optimizer: Any) -> dict[str, keras.Variable]:
    """Returns the variables of an optimizer with unique names, without an inner optimizer's."""
    inner = getattr(optimizer, "inner_optimizer", None)
    inside = {id(variable) for variable in inner.variables} if inner is not None else set()
    own = [variable for variable in optimizer.variables if id(variable) not in inside]
    names = collections.Counter(variable.name for variable in own)
    return {variable.name: variable for variable in own if names[variable.name] == 1}
