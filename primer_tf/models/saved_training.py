"""The state of training in a `.keras` file."""

from collections.abc import Mapping
from typing import Any

import keras

from primer_tf.models.causal_lm_mixin import CausalLMMixin
from primer_tf.types import Config


class SavedTraining(CausalLMMixin):
    """A mixin that saves what a model needs to continue training exactly where it was saved.

    Keras saves the optimizer's state, but neither the arguments of a model's own `compile` nor the
    state of random generators such as those of dropout. On PyTorch, dropout draws from PyTorch's
    global generator, which is no part of a model and is not saved.
    """

    def get_compile_config(self) -> Config:
        """Returns the serialized arguments of `compile`, or `{}` if it was not called."""
        config = super().get_compile_config()
        if config:
            config["jit_compile"] = self._asked_jit_compile
            config["sampler"] = keras.saving.serialize_keras_object(self.sampler)
        return config

    def compile_from_config(self, config: Config) -> None:
        """Calls `compile` with what `get_compile_config` returned, and builds the optimizer."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def save_own_variables(self, store: Any) -> None:
        """Saves the state of the random generators."""
        super().save_own_variables(store)
        for index, variable in enumerate(self._random_state()):
            store[f"random_state_{index}"] = keras.ops.convert_to_numpy(variable)

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Loads the state of the random generators, if the file has it."""
        names = store.keys()  # A store need not be iterable.
        own = {name: store[name] for name in names}
        for index, variable in enumerate(self._random_state()):
            if (state := own.pop(f"random_state_{index}", None)) is not None:
                variable.assign(state)
        super().load_own_variables(own)

    def _random_state(self) -> list[keras.Variable]:
        metrics = [variable for metric in self.metrics for variable in metric.variables]
        others = {id(variable) for variable in [*self.weights, *metrics]}
        return [variable for variable in self.variables if id(variable) not in others]
