"""Adafactor with the rules of Mesh TensorFlow."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from primer_tf._compat import variable_layout
from primer_tf.types import Config, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class T5Adafactor(keras.optimizers.Adafactor):
    """Adafactor as `mesh_tensorflow.optimize.AdafactorOptimizer` runs it.

    It differs from Keras' Adafactor in three rules:

    - Second moments are factored along a weight's two largest axes, and only if both have at least
      `min_dim_size_to_factor` entries.
    - Factored weights keep no moment of their own size.
    - The learning rate is not capped by `1 / sqrt(step)`.

    The formulas are otherwise the same: moments decay by `1 - step ** beta_2_decay`, updates are
    clipped to a root mean square of `clip_threshold`, and step sizes are relative to the root mean
    square of the weight.

    Half-precision weights have moments and updates in float32, as in Mesh TensorFlow, because
    float16 cannot represent `epsilon_1` and the squares of small gradients.

    A weight that starts at zero, such as the second matrix of LoRA, counts as one with a root mean
    square of `epsilon_2`. With T5's learning rate and the default of 0.001, its steps are 1e-5,
    which is too little to train LoRA; `epsilon_2=0.1` makes them 1e-3.

    Args:
        learning_rate: Number or schedule, relative to the root mean square of each weight. Defaults
            to 0.01.
        min_dim_size_to_factor: Least length of both axes of a factored weight. Defaults to 128.
        relative_step: Whether a learning rate that is a number is capped by `1 / sqrt(step)`.
            Defaults to `False`.
        name: Name of the optimizer. Defaults to `"t5_adafactor"`.
        **kwargs: Arguments of `keras.optimizers.Adafactor`.

    Example:

    >>> import keras
    >>> from primer_tf.optimizers import T5Adafactor
    >>> weight = keras.Variable([3.0, 4.0])
    >>> optimizer = T5Adafactor(learning_rate=0.1)
    >>> optimizer.apply([keras.ops.ones(2)], [weight])
    >>> print(keras.ops.convert_to_numpy(weight).round(2))
    [2.65 3.65]
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.01,
        min_dim_size_to_factor: int = 128,
        relative_step: bool = False,
        name: str = "t5_adafactor",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate, relative_step=relative_step, name=name, **kwargs
        )
        self.min_dim_size_to_factor = min_dim_size_to_factor

    def _factored_axes(self, shape: Sequence[int]) -> list[int] | None:
        """Returns the longest and the second longest axis, or `None` if one is too short."""
        axes = sorted(range(len(shape)), key=lambda axis: -shape[axis])[:2]
        if len(axes) < 2 or shape[axes[1]] < self.min_dim_size_to_factor:
            return None
        return axes

    def build(self, variables: list[keras.Variable]) -> None:
        """Creates the second moments, which Mesh TensorFlow calls slots.

        A factored weight has two: the mean squares of its gradient over the longest axis (`vr`) and
        over the second longest (`vc`). Any other weight has one of its own shape (`v`).

        Args:
            variables: The trainable weights.
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
                        slot_shape,
                        dtype=_precise(variable),
                        layout=self._slot_layout(variable, kind),
                        name=f"{variable.name}_slot_{kind}",
                    )
                    for kind, slot_shape in kinds.items()
                }
            )

    def slot_shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of the second moments of a weight of some shape, by kind."""
        axes = self._factored_axes(shape)
        if axes is None:
            return {"v": shape}
        return {
            kind: shape[:axis] + shape[axis + 1 :]
            for kind, axis in zip(("vr", "vc"), axes, strict=True)
        }

    def _slot_layout(
        self, variable: keras.Variable, kind: str
    ) -> keras.distribution.TensorLayout | None:
        """Returns the layout of a second moment: that of the weight, without the mean's axis."""
        layout = variable_layout(variable)
        factored = self._factored_axes(variable.shape)
        if layout is None or factored is None:
            return layout
        axes = list(layout.axes)
        del axes[factored[("vr", "vc").index(kind)]]
        return keras.distribution.TensorLayout(axes, layout.device_mesh)

    def slots(self, variable: keras.Variable) -> dict[str, keras.Variable]:
        """Returns the second moments of a weight by kind: `vr` and `vc`, or `v`."""
        return self._slots[self._get_variable_index(variable)]

    def apply(
        self, grads: list[Tensor], trainable_variables: list[keras.Variable] | None = None
    ) -> None:
        """Applies gradients; see `keras.optimizers.Optimizer`.

        Sparse gradients, those of an `Embedding` on TensorFlow, become dense first. Clipping and
        moments then count a row that was looked up twice as one row.

        Args:
            grads: The gradients.
            trainable_variables: Their weights. Defaults to the weights of `build`.
        """
        super().apply([_dense(gradient) for gradient in grads], trainable_variables)

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        """Updates one weight and its second moments."""
        dtype = _precise(variable)
        gradient = ops.cast(gradient, dtype)
        step = ops.cast(self.iterations + 1, dtype)
        learning_rate = ops.cast(learning_rate, dtype)
        if self.relative_step and not callable(self._learning_rate):
            learning_rate = ops.minimum(learning_rate, ops.rsqrt(step))
        decay = 1.0 - ops.power(step, ops.convert_to_tensor(self.beta_2_decay, dtype=dtype))
        squared = ops.square(gradient) + self.epsilon_1
        slots = self.slots(variable)

        def decayed(kind: str, value: Tensor) -> Tensor:
            new = decay * slots[kind] + (1.0 - decay) * value
            self.assign(slots[kind], new)
            return new

        axes = self._factored_axes(variable.shape)
        if axes is None:
            update = gradient * ops.rsqrt(decayed("v", squared))
        else:
            largest, second = axes
            vr = decayed("vr", ops.mean(squared, axis=largest))
            vc = decayed("vc", ops.mean(squared, axis=second))
            # `vr` lacks the longest axis, so the second one moves if it comes after it.
            vr = vr / ops.mean(vr, axis=second - (second > largest), keepdims=True)
            vr, vc = ops.expand_dims(ops.rsqrt(vr), largest), ops.expand_dims(ops.rsqrt(vc), second)
            update = gradient * vr * vc
        update = update / ops.maximum(1.0, self._rms(update) / self.clip_threshold)
        scale = ops.maximum(self._rms(ops.cast(variable, dtype)), self.epsilon_2)
        self.assign_sub(variable, update * scale * learning_rate)

    def restore(self, step: int, slots: Callable[[keras.Variable, str], Any]) -> None:
        """Sets the number of updates and the second moments.

        Args:
            step: Number of updates done.
            slots: Function from a weight and a kind of second moment to the moment's value.
        """
        for variable in self._trainable_variables:
            for kind, slot in self.slots(variable).items():
                slot.assign(slots(variable, kind))
        # Keras also counts the steps that only accumulate gradients.
        self._iterations.assign(step * (self.gradient_accumulation_steps or 1))

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {**super().get_config(), "min_dim_size_to_factor": self.min_dim_size_to_factor}


def t5_adafactor_in(optimizer: Any) -> T5Adafactor | None:
    """Returns an optimizer if it is a `T5Adafactor`, or the `T5Adafactor` that it wraps.

    Args:
        optimizer: An optimizer, perhaps a wrapper such as `keras.optimizers.LossScaleOptimizer`.

    Returns:
        The `T5Adafactor`, or `None` if there is none.
    """
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer if isinstance(optimizer, T5Adafactor) else None


def _precise(variable: keras.Variable) -> str:
    """Returns the dtype for the moments of a variable: its own, but at least float32."""
    return keras.backend.result_type(keras.backend.standardize_dtype(variable.dtype), "float32")


def _dense(gradient: Tensor) -> Tensor:
    # `ops.add` turns TensorFlow's slices into dense tensors, as in Keras' own optimizers.
    return ops.add(gradient, 0.0) if hasattr(gradient, "dense_shape") else gradient
