"""A factor that grows at the start of training."""

import keras
from keras import ops

from primer_tf.types import Config, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class LinearWarmup(keras.optimizers.schedules.LearningRateSchedule):
    """Grows linearly from 0 to 1, `min(1, step / warmup_steps)`, and stays there.

    Source: `linear_warmup` of `mesh_tensorflow.transformer.learning_rate_schedules`.

    Args:
        warmup_steps: Number of steps until 1, at least 1.

    Example:

    >>> from primer_tf.optimizers import LinearWarmup
    >>> [float(LinearWarmup(4)(step)) for step in (0, 2, 4, 100)]
    [0.0, 0.5, 1.0, 1.0]
    """

    def __init__(self, warmup_steps: int) -> None:
        self.warmup_steps = warmup_steps

    def __call__(self, step: int | Tensor) -> Tensor:
        """Returns the factor of a step, counted from zero."""
        return ops.minimum(ops.cast(step, "float32") / self.warmup_steps, 1.0)

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {"warmup_steps": self.warmup_steps}
