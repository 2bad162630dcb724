"""A learning rate that counts from a later step."""

import keras
from keras import ops

from primer_tf.types import Config, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class OffsetSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule whose first step is a later one of an optimizer that goes on from an earlier run.

    Args:
        schedule: The `LearningRateSchedule`, by steps of the run.
        first_step: The optimizer's step at which the run starts.

    Example:

    >>> from primer_tf.optimizers import LinearDecay, OffsetSchedule
    >>> schedule = OffsetSchedule(LinearDecay(100, decay_steps=20), first_step=1000)
    >>> [float(schedule(step)) for step in (1000, 1090, 1100)]
    [1.0, 0.5, 0.0]
    """

    def __init__(
        self, schedule: keras.optimizers.schedules.LearningRateSchedule, first_step: int
    ) -> None:
        self.schedule = schedule
        self.first_step = first_step

    def __call__(self, step: int | Tensor) -> Tensor:
        """Returns the learning rate of a step of the optimizer, counted from zero."""
        return self.schedule(ops.subtract(step, self.first_step))

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "first_step": self.first_step}

    @classmethod
    def from_config(cls, config: Config) -> "OffsetSchedule":
        """Returns the schedule with the arguments that `get_config` returned."""
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["first_step"])
