"""A factor that falls at the end of training."""

import keras
from keras import ops

from primer_tf.types import Config, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Is 1, and falls linearly to 0 over the last steps.

        min(1, (total_steps - step) / decay_steps), at least 0

    Source: `linear_decay` of `mesh_tensorflow.transformer.learning_rate_schedules`, and the last
    factor of its `learning_rate_schedule_noam`. Those become negative after `total_steps`.

    Args:
        total_steps: Number of steps of the whole run.
        decay_steps: Number of steps at the end over which the factor falls, above 0.

    Example:

    >>> from primer_tf.optimizers import LinearDecay
    >>> [float(LinearDecay(100, decay_steps=20)(step)) for step in (0, 80, 90, 100)]
    [1.0, 1.0, 0.5, 0.0]
    """

    def __init__(self, total_steps: int, decay_steps: float) -> None:
        self.total_steps = total_steps
        self.decay_steps = decay_steps

    def __call__(self, step: int | Tensor) -> Tensor:
        """Returns the factor of a step, counted from zero."""
        steps_left = self.total_steps - ops.cast(step, "float32")
        return ops.clip(steps_left / self.decay_steps, 0.0, 1.0)

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {"total_steps": self.total_steps, "decay_steps": self.decay_steps}
