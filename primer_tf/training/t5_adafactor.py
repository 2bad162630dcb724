"""Adafactor with the rules of Mesh TensorFlow."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="primer_tf")
class T5Adafactor(keras.optimizers.Adafactor):
    """Adafactor as `mesh_tensorflow.optimize.AdafactorOptimizer` runs it.

    It differs from Keras' Adafactor in three rules. Second moments are factored only when both of
    a weight's last dimensions reach `min_dim_size_to_factor`; factored weights keep no moment of
    their own size; and the learning rate is what the schedule says, not capped by
    `1 / sqrt(step)`. The formulas are otherwise the same: decay `1 - step ** beta_2_decay`, update
    clipped to a root mean square of `clip_threshold`, step size relative to the weight's own.

    Args:
        learning_rate: Number or schedule, relative to the root mean square of each weight.
        min_dim_size_to_factor: Smallest dimension worth factoring.
        **kwargs: Arguments of `keras.optimizers.Adafactor`.

    Example:

    >>> model.compile(optimizer=T5Adafactor(RsqrtSchedule()))
    """

    def __init__(
        self,
        learning_rate=0.01,
        min_dim_size_to_factor=128,
        relative_step=False,
        name="t5_adafactor",
        **kwargs,
    ):
        super().__init__(
            learning_rate=learning_rate, relative_step=relative_step, name=name, **kwargs
        )
        self.min_dim_size_to_factor = min_dim_size_to_factor

    def _factored(self, shape):
        return len(shape) >= 2 and min(shape[-2:]) >= self.min_dim_size_to_factor

    def build(self, variables):
        """Creates the second moments: two vectors for a factored weight, else one full tensor."""
        if self.built:
            return
        keras.optimizers.Optimizer.build(self, variables)
        self._moments = []
        for variable in variables:
            shape = tuple(variable.shape)
            if self._factored(shape):
                shapes = {"row": shape[:-1], "column": (*shape[:-2], shape[-1])}
            else:
                shapes = {"full": shape}
            self._moments.append(
                {
                    kind: self.add_variable(
                        moment_shape, dtype=variable.dtype, name=f"{variable.name}_{kind}_moment"
                    )
                    for kind, moment_shape in shapes.items()
                }
            )

    def update_step(self, gradient, variable, learning_rate):
        """Updates one weight and its moments."""
        dtype = variable.dtype
        gradient = ops.cast(gradient, dtype)
        step = ops.cast(self.iterations + 1, dtype)
        decay = 1.0 - ops.power(step, ops.cast(self.beta_2_decay, dtype))
        squared = ops.square(gradient) + self.epsilon_1
        moments = self._moments[self._get_variable_index(variable)]

        def decayed(kind, value):
            new = decay * moments[kind] + (1.0 - decay) * value
            self.assign(moments[kind], new)
            return new

        if "full" in moments:
            update = gradient * ops.rsqrt(decayed("full", squared))
        else:
            row = decayed("row", ops.mean(squared, axis=-1))
            column = decayed("column", ops.mean(squared, axis=-2))
            row = row / ops.mean(row, axis=-1, keepdims=True)
            update = gradient * ops.rsqrt(row)[..., None] * ops.rsqrt(column)[..., None, :]
        update = update / ops.maximum(1.0, self._rms(update) / self.clip_threshold)
        scale = ops.maximum(self._rms(variable), self.epsilon_2)
        self.assign_sub(variable, update * scale * ops.cast(learning_rate, dtype))

    def get_config(self):
        """Returns the constructor arguments."""
        return {**super().get_config(), "min_dim_size_to_factor": self.min_dim_size_to_factor}
