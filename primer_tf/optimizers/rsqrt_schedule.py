"""T5's learning rate schedule."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="primer_tf")
class RsqrtSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Reciprocal square root, `scale / sqrt(max(step, warmup_steps))`.

    Constant during the warm-up, as in T5's `rsqrt_no_ramp_down`
    (`mesh_tensorflow.transformer.learning_rate_schedules`), where `warmup_steps` is 10,000.

    Args:
        warmup_steps: Steps at the constant rate `scale / sqrt(warmup_steps)`.
        scale: Factor on all rates.
        ramp_up_steps: Steps over which the rate first grows linearly from near zero; T5 has none.

    Example:

    >>> RsqrtSchedule()(0)  # 0.01
    """

    def __init__(self, warmup_steps=10_000, scale=1.0, ramp_up_steps=0):
        self.warmup_steps = warmup_steps
        self.scale = scale
        self.ramp_up_steps = ramp_up_steps

    def __call__(self, step):
        """Returns the learning rate of a step, counted from zero."""
        step = ops.cast(step, "float32")
        rate = self.scale * ops.rsqrt(ops.maximum(step, float(self.warmup_steps)))
        if self.ramp_up_steps:
            rate = rate * ops.minimum((step + 1.0) / self.ramp_up_steps, 1.0)
        return rate

    def get_config(self):
        """Returns the constructor arguments."""
        return {
            "warmup_steps": self.warmup_steps,
            "scale": self.scale,
            "ramp_up_steps": self.ramp_up_steps,
        }
