"""A learning rate for an optimizer that accumulates gradients."""

import keras
from keras import ops

from primer_tf.types import Config, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class AccumulatedSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule by updates, for an optimizer with `gradient_accumulation_steps`.

    Keras calls a schedule with the number of batches, of which several make an update.

    Args:
        schedule: The `LearningRateSchedule`, by updates.
        batches_per_update: The optimizer's `gradient_accumulation_steps`.

    Example:

    >>> from primer_tf.optimizers import AccumulatedSchedule, LinearWarmup
    >>> schedule = AccumulatedSchedule(LinearWarmup(4), batches_per_update=8)
    >>> [float(schedule(batch)) for batch in (0, 7, 8, 16)]
    [0.0, 0.0, 0.25, 0.5]
    """

    def __init__(
        self,
        schedule: keras.optimizers.schedules.LearningRateSchedule,
        batches_per_update: int,
    ) -> None:
        self.schedule = schedule
        self.batches_per_update = batches_per_update

    def __call__(self, step: int | Tensor) -> Tensor:
        """Returns the learning rate of a batch, counted from zero."""
        return self.schedule(ops.floor_divide(step, self.batches_per_update))

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "batches_per_update": self.batches_per_update}

    @classmethod
    def from_config(cls, config: Config) -> "AccumulatedSchedule":
        """Returns the schedule with the arguments that `get_config` returned."""
        return cls(
            keras.saving.deserialize_keras_object(config["schedule"]), config["batches_per_update"]
        )
