"""Optimizers by name, with what large models need around them."""

from collections.abc import Sequence
from typing import Any

import keras

from primer_tf.errors import UserError
from primer_tf.optimizers.accumulated_schedule import AccumulatedSchedule
from primer_tf.optimizers.t5_adafactor import T5Adafactor

OPTIMIZERS = ("adafactor", "adamw", "muon")

# Brown et al. 2020, appendix B.
ADAM = {"beta_1": 0.9, "beta_2": 0.95, "epsilon": 1e-8}
WEIGHT_DECAY = 0.1
# The highest learning rate; T5's depends on the warm-up.
LEARNING_RATES = {"adafactor": None, "adamw": 1e-3, "muon": 1e-3}


def make_optimizer(
    name: str,
    schedule: keras.optimizers.schedules.LearningRateSchedule,
    weights: Sequence[keras.Variable],
    weight_decay: float | None = None,
    global_clipnorm: float | None = None,
    gradient_accumulation_steps: int = 1,
    ema_momentum: float | None = None,
) -> keras.optimizers.Optimizer:
    """Returns an optimizer.

    - `"adafactor"`: `T5Adafactor`, whose learning rate is relative to the size of a weight.
    - `"adamw"`: `keras.optimizers.AdamW` with the constants of GPT-3 (Brown et al. 2020,
      appendix B).
    - `"muon"`: `keras.optimizers.Muon` (Jordan et al. 2024) for matrices, with updates as large as
      those of AdamW (Liu et al. 2025, section 2.2); AdamW for embeddings, vectors and experts.

    Args:
        name: Name of the optimizer.
        schedule: The `LearningRateSchedule`, by updates.
        weights: The weights that will be trained.
        weight_decay: Decoupled weight decay (Loshchilov and Hutter 2019), a factor of the learning
            rate, of weights with two or more axes. Defaults to 0.1 for `"adamw"` and `"muon"`, and
            to none for `"adafactor"`.
        global_clipnorm: Largest norm of all gradients together, or `None` not to clip. Defaults to
            `None`.
        gradient_accumulation_steps: Number of batches whose mean gradient makes an update. Defaults
            to 1.
        ema_momentum: Momentum of an exponential moving average of the weights, by updates, or
            `None` for no average. Defaults to `None`.

    Returns:
        A `keras.optimizers.Optimizer` that is not built.

    Raises:
        UserError: The name is unknown.

    Example:

    >>> from primer_tf.optimizers import RsqrtSchedule, make_optimizer
    >>> make_optimizer("adamw", RsqrtSchedule(scale=0.1), weights=[]).weight_decay
    0.1
    """
    if name not in OPTIMIZERS:
        raise UserError(f"optimizer must be one of {', '.join(OPTIMIZERS)}; received {name!r}.")
    options: dict[str, Any] = {"global_clipnorm": global_clipnorm}
    if gradient_accumulation_steps > 1:
        schedule = AccumulatedSchedule(schedule, gradient_accumulation_steps)
        options["gradient_accumulation_steps"] = gradient_accumulation_steps
    if ema_momentum is not None:
        # Keras averages after each batch, whether it makes an update or not.
        ema_momentum = ema_momentum ** (1 / gradient_accumulation_steps)
        options |= {"use_ema": True, "ema_momentum": ema_momentum}
    if name == "adafactor":
        optimizer = T5Adafactor(schedule, weight_decay=weight_decay or None, **options)
    else:
        options["weight_decay"] = WEIGHT_DECAY if weight_decay is None else weight_decay
        if name == "adamw":
            optimizer = keras.optimizers.AdamW(schedule, **ADAM, **options)
        else:
            optimizer = keras.optimizers.Muon(
                schedule,
                adam_beta_1=ADAM["beta_1"],
                adam_beta_2=ADAM["beta_2"],
                epsilon=ADAM["epsilon"],
                adam_weight_decay=options["weight_decay"],
                **options,
            )
    vectors = [weight for weight in weights if len(weight.shape) < 2]
    optimizer.exclude_from_weight_decay(var_list=vectors)
    return optimizer
