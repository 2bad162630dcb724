"""The optimizer that a run's configuration describes, with its learning rates."""

from collections.abc import Sequence

import keras

from primer_tf.optimizers import make_optimizer, make_schedule
from primer_tf.optimizers.make_optimizer import LEARNING_RATES
from primer_tf.training.config import RunConfig


def optimizer_of_run(
    config: RunConfig,
    weights: Sequence[keras.Variable],
    schedule: keras.optimizers.schedules.LearningRateSchedule | None = None,
) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a run.

    Args:
        config: What defines the run.
        weights: The weights that will be trained.
        schedule: The learning rates, by updates. Defaults to those of the run.

    Raises:
        UserError: The parts of the schedule do not fit the steps of the run.
    """
    return make_optimizer(
        config.optimizer,
        schedule_of_run(config) if schedule is None else schedule,
        weights,
        config.weight_decay,
        config.global_clipnorm,
        config.gradient_accumulation_steps,
        config.ema_momentum,
    )


def schedule_of_run(config: RunConfig) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns the learning rates of a run, by updates; see `optimizer_of_run`."""
    rate = config.learning_rate
    # The others come to zero of themselves.
    may_decay = config.schedule in ("rsqrt", "wsd")
    return make_schedule(
        config.schedule,
        config.steps,
        LEARNING_RATES[config.optimizer] if rate is None else rate,
        config.warmup_steps,
        config.linear_decay_fraction if may_decay else None,
        config.learning_rate_scale,
        config.ramp_up_steps,
        config.first_step,
    )
