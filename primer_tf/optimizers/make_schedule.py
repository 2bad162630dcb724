"""Learning rate schedules by name."""

import math
from typing import Any

import keras

from primer_tf.errors import UserError
from primer_tf.optimizers.linear_decay import LinearDecay
from primer_tf.optimizers.linear_warmup import LinearWarmup
from primer_tf.optimizers.offset_schedule import OffsetSchedule
from primer_tf.optimizers.product_schedule import ProductSchedule
from primer_tf.optimizers.rsqrt_schedule import RsqrtSchedule

# The share of the steps over which `wsd` decays (Hu et al. 2024, section 4.3).
WSD_DECAY_FRACTION = 0.1

SCHEDULES = ("rsqrt", "cosine", "linear", "wsd")


def make_schedule(
    name: str,
    total_steps: int,
    learning_rate: float | None = None,
    warmup_steps: int = 10_000,
    linear_decay_fraction: float | None = None,
    scale: float = 1.0,
    ramp_up_steps: int = 0,
    first_step: int = 0,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns a learning rate schedule.

    - `"rsqrt"`: constant during the warm-up, then the inverse square root of the step
      (`truncated_rsqrt` of `mesh_tensorflow.transformer.learning_rate_schedules`).
    - `"cosine"`: linear warm-up, then half a cosine down to zero at the last step (Loshchilov and
      Hutter 2017, equation 5, without restarts).
    - `"linear"`: linear warm-up, then linearly down to zero at the last step.
    - `"wsd"`: linear warm-up, constant, then linearly down to zero over the last steps
      (warmup-stable-decay, Hu et al. 2024, section 4).

    Args:
        name: Name of the schedule.
        total_steps: Number of steps of the run.
        learning_rate: Highest learning rate. Defaults to `1 / sqrt(warmup_steps)`, that of T5.
        warmup_steps: Number of steps of the warm-up. Defaults to 10,000.
        linear_decay_fraction: Share of all steps, at the end of the run, over which the learning
            rate falls linearly to zero: a further factor, as in T5's schedules. Defaults to 0.1 for
            `"wsd"` and to none for the others.
        scale: Factor of all rates. Defaults to 1.
        ramp_up_steps: Number of steps at the start of `"rsqrt"` over which the rate grows linearly
            from near zero. Defaults to 0, as in T5.
        first_step: Number of steps that the optimizer has done before the run. `"rsqrt"` and its
            ramp count these, too, as in T5; all else counts from the start of the run. Defaults to
            0.

    Returns:
        A `LearningRateSchedule`.

    Raises:
        UserError: The name is unknown, or the warm-up leaves no steps to decay.

    Example:

    >>> from primer_tf.optimizers import make_schedule
    >>> schedule = make_schedule("cosine", total_steps=100, learning_rate=1e-3, warmup_steps=20)
    >>> [round(float(schedule(step)), 6) for step in (0, 10, 20, 60, 100)]
    [0.0, 0.0005, 0.001, 0.0005, 0.0]
    """
    if name not in SCHEDULES:
        raise UserError(f"schedule must be one of {', '.join(SCHEDULES)}; received {name!r}.")
    if name == "rsqrt":
        if learning_rate is not None:
            scale *= learning_rate * math.sqrt(warmup_steps)
        factors: list[Any] = []
    else:
        if ramp_up_steps:
            raise UserError(
                f"ramp_up_steps is for schedule rsqrt; {name} ramps up over warmup_steps."
            )
        if warmup_steps >= total_steps:
            raise UserError(
                f"warmup_steps {warmup_steps} leaves schedule {name} none of the {total_steps} "
                "steps to decay; choose fewer."
            )
        peak = scale * (warmup_steps**-0.5 if learning_rate is None else learning_rate)
        factors = [peak, LinearWarmup(warmup_steps)]
        if name == "cosine":
            factors = [
                keras.optimizers.schedules.CosineDecay(
                    0.0,
                    decay_steps=total_steps - warmup_steps,
                    warmup_target=peak,
                    warmup_steps=warmup_steps,
                )
            ]
        elif name == "linear":
            factors.append(LinearDecay(total_steps, total_steps - warmup_steps))
        elif linear_decay_fraction is None:
            linear_decay_fraction = WSD_DECAY_FRACTION
    if linear_decay_fraction:
        factors.append(LinearDecay(total_steps, linear_decay_fraction * total_steps))
    if first_step:
        factors = [OffsetSchedule(each, first_step) if callable(each) else each for each in factors]
    if name == "rsqrt":
        factors.insert(0, RsqrtSchedule(warmup_steps, scale, ramp_up_steps))
    return factors[0] if len(factors) == 1 else ProductSchedule(factors)
