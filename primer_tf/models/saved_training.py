"""What a `.keras` file holds of a model's training beside its weights."""

import keras


class SavedTraining:
    """Makes a saved model go on as if it had never been saved: mix it in before a `CausalLM`.

    Keras saves the optimizer's state, but drops what a model's own `compile` was given, and the
    state of the random generators, of dropout for one. (On PyTorch, Keras' dropout draws from
    PyTorch's global generator, which no model holds.)
    """

    def get_compile_config(self):
        """Returns what `compile` was given, serialized; empty if it was not called."""
        config = super().get_compile_config()
        if config:
            config["jit_compile"] = self._asked_jit_compile
            config["sampler"] = keras.saving.serialize_keras_object(self.sampler)
        return config

    def compile_from_config(self, config):
        """Calls `compile` with what `get_compile_config` returned, and builds the optimizer."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def save_own_variables(self, store):
        """Saves the state of the random generators."""
        super().save_own_variables(store)
        for index, variable in enumerate(self._random_state()):
            store[f"random_state_{index}"] = keras.ops.convert_to_numpy(variable)

    def load_own_variables(self, store):
        """Loads the state of the random generators, where a file has it."""
        names = store.keys()  # a store need not be iterable
        own = {name: store[name] for name in names}
        for index, variable in enumerate(self._random_state()):
            if (state := own.pop(f"random_state_{index}", None)) is not None:
                variable.assign(state)
        super().load_own_variables(own)

    def _random_state(self):
        metrics = [variable for metric in self.metrics for variable in metric.variables]
        others = {id(variable) for variable in [*self.weights, *metrics]}
        return [variable for variable in self.variables if id(variable) not in others]
