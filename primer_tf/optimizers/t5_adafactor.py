"""Adafactor with the rules of Mesh TensorFlow."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="primer_tf")
class T5Adafactor(keras.optimizers.Adafactor):
    """Adafactor as `mesh_tensorflow.optimize.AdafactorOptimizer` runs it.

    It differs from Keras' Adafactor in three rules. Second moments are factored along a weight's
    two largest axes, only when both reach `min_dim_size_to_factor`; factored weights keep no moment
    of their own size; and the learning rate is what the schedule says, not capped by
    `1 / sqrt(step)`. The formulas are otherwise the same: decay `1 - step ** beta_2_decay`, update
    clipped to a root mean square of `clip_threshold`, step size relative to the weight's own.

    Half-precision weights have moments and updates in float32, as in Mesh TensorFlow: squares of
    their gradients, and `epsilon_1`, are below what float16 can hold.

    Args:
        learning_rate: Number or schedule, relative to the root mean square of each weight.
        min_dim_size_to_factor: Shortest axis worth factoring.
        relative_step: Whether a learning rate that is a number is capped by `1 / sqrt(step)`.
        name: Name of the optimizer.
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

    def _factored_axes(self, shape):
        """Returns the largest and the second largest axis, or `None` where one is too small."""
        axes = sorted(range(len(shape)), key=lambda axis: -shape[axis])[:2]
        if len(axes) < 2 or shape[axes[1]] < self.min_dim_size_to_factor:
            return None
        return axes

    def build(self, variables):
        """Creates the second moments, the slots of Mesh TensorFlow.

        A factored weight has two, its mean square over the largest axis (`vr`) and over the second
        largest (`vc`); any other weight has one of its own shape (`v`).
        """
        if self.built:
            return
        keras.optimizers.Optimizer.build(self, variables)
        self._slots = []
        for variable in variables:
            kinds = self.slot_shapes(tuple(variable.shape))
            self._slots.append(
                {
                    kind: self.add_variable(
                        slot_shape, dtype=_precise(variable), name=f"{variable.name}_slot_{kind}"
                    )
                    for kind, slot_shape in kinds.items()
                }
            )

    def slot_shapes(self, shape):
        """Returns the shapes of the second moments of a weight of this shape, by kind."""
        axes = self._factored_axes(shape)
        if axes is None:
            return {"v": shape}
        return {
            kind: shape[:axis] + shape[axis + 1 :]
            for kind, axis in zip(("vr", "vc"), axes, strict=True)
        }

    def slots(self, variable):
        """Returns the second moments of a weight: dict of `vr` and `vc`, or of `v`."""
        return self._slots[self._get_variable_index(variable)]

    def apply(self, grads, trainable_variables=None):
        """Applies gradients; see `keras.optimizers.Optimizer`.

        Sparse ones, those of an `Embedding` on TensorFlow, become dense first: a row that was
        looked up twice is one row to the norms of clipping and to the moments.
        """
        super().apply([_dense(gradient) for gradient in grads], trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        """Updates one weight and its moments."""
        dtype = _precise(variable)
        gradient = ops.cast(gradient, dtype)
        step = ops.cast(self.iterations + 1, dtype)
        learning_rate = ops.cast(learning_rate, dtype)
        if self.relative_step and not callable(self._learning_rate):
            learning_rate = ops.minimum(learning_rate, ops.rsqrt(step))
        decay = 1.0 - ops.power(step, ops.cast(self.beta_2_decay, dtype))
        squared = ops.square(gradient) + self.epsilon_1
        slots = self.slots(variable)

        def decayed(kind, value):
            new = decay * slots[kind] + (1.0 - decay) * value
            self.assign(slots[kind], new)
            return new

        if "v" in slots:
            update = gradient * ops.rsqrt(decayed("v", squared))
        else:
            largest, second = self._factored_axes(variable.shape)
            vr = decayed("vr", ops.mean(squared, axis=largest))
            vc = decayed("vc", ops.mean(squared, axis=second))
            # `vr` lacks the largest axis, which moves the second one if it came after.
            vr = vr / ops.mean(vr, axis=second - (second > largest), keepdims=True)
            vr, vc = ops.expand_dims(ops.rsqrt(vr), largest), ops.expand_dims(ops.rsqrt(vc), second)
            update = gradient * vr * vc
        update = update / ops.maximum(1.0, self._rms(update) / self.clip_threshold)
        scale = ops.maximum(self._rms(ops.cast(variable, dtype)), self.epsilon_2)
        self.assign_sub(variable, update * scale * learning_rate)

    def restore(self, step, slots):
        """Puts the optimizer after a step.

        Args:
            step: Updates done.
            slots: Function from a weight and the kind of a slot to its value.
        """
        for variable in self._trainable_variables:
            for kind, slot in self.slots(variable).items():
                slot.assign(slots(variable, kind))
        # Keras counts the steps of accumulation, too.
        self._iterations.assign(step * (self.gradient_accumulation_steps or 1))

    def get_config(self):
        """Returns the constructor arguments."""
        return {**super().get_config(), "min_dim_size_to_factor": self.min_dim_size_to_factor}


def t5_adafactor_in(optimizer):
    """Returns the `T5Adafactor` that an optimizer is, or wraps as `LossScaleOptimizer` does.

    Returns:
        `None` if there is none.
    """
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer if isinstance(optimizer, T5Adafactor) else None


def _precise(variable):
    """Returns the dtype for the moments of a variable: its own, but at least float32."""
    return keras.backend.result_type(keras.backend.standardize_dtype(variable.dtype), "float32")


def _dense(gradient):
    # `ops.add` is what makes dense tensors of TensorFlow's slices, as in Keras' own optimizers.
    return ops.add(gradient, 0.0) if hasattr(gradient, "dense_shape") else gradient
