"""T5's learning rate schedule."""

import keras
from keras import ops

from primer_tf.types import Config, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class RsqrtSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Reciprocal square root of the step, `scale / sqrt(max(step, warmup_steps))`.

    The rate is constant during the warm-up. Source: `rsqrt_no_ramp_down` of
    `mesh_tensorflow.transformer.learning_rate_schedules`, which T5 uses with 10,000 warm-up steps.

    Args:
        warmup_steps: Number of steps at the constant rate `scale / sqrt(warmup_steps)`, at least 1.
            Defaults to 10,000.
        scale: Factor of all rates. Defaults to 1.
        ramp_up_steps: Number of steps at the start over which the rate grows linearly from near
            zero. Defaults to 0, as in T5.

    Example:

    >>> from primer_tf.optimizers import RsqrtSchedule
    >>> round(float(RsqrtSchedule()(0)), 4)
    0.01
    """

    def __init__(
        self, warmup_steps: int = 10_000, scale: float = 1.0, ramp_up_steps: int = 0
    ) -> None:
        self.warmup_steps = warmup_steps
        self.scale = scale
        self.ramp_up_steps = ramp_up_steps

    def __call__(self, step: int | Tensor) -> Tensor:
        """Returns the learning rate of a step, counted from zero."""
        step = ops.cast(step, "float32")
        rate = self.scale * ops.rsqrt(ops.maximum(step, float(self.warmup_steps)))
        if self.ramp_up_steps:
            rate = rate * ops.minimum((step + 1.0) / self.ramp_up_steps, 1.0)
        return rate

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {
            "warmup_steps": self.warmup_steps,
            "scale": self.scale,
            "ramp_up_steps": self.ramp_up_steps,
        }
