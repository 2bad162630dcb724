"""A learning rate that is a product of factors."""

import math
from collections.abc import Callable, Sequence

import keras

from primer_tf.types import Config, Tensor

Factor = float | Callable[[int | Tensor], Tensor]


@keras.saving.register_keras_serializable(package="primer_tf")
class ProductSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Product of numbers and schedules.

    Source: `product_learning_rate` of `mesh_tensorflow.transformer.learning_rate_schedules`.

    Args:
        factors: Numbers and `LearningRateSchedule`s.

    Example:

    >>> from primer_tf.optimizers import LinearDecay, LinearWarmup, ProductSchedule
    >>> schedule = ProductSchedule([0.5, LinearWarmup(10), LinearDecay(100, decay_steps=50)])
    >>> [float(schedule(step)) for step in (5, 10, 75)]
    [0.25, 0.5, 0.25]
    """

    def __init__(self, factors: Sequence[Factor]) -> None:
        self.factors = list(factors)

    def __call__(self, step: int | Tensor) -> Tensor:
        """Returns the learning rate of a step, counted from zero."""
        return math.prod(factor(step) if callable(factor) else factor for factor in self.factors)

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {"factors": [keras.saving.serialize_keras_object(each) for each in self.factors]}

    @classmethod
    def from_config(cls, config: Config) -> "ProductSchedule":
        """Returns the schedule with the arguments that `get_config` returned."""
        return cls([keras.saving.deserialize_keras_object(each) for each in config["factors"]])
