"""The optimizer of a model that is compiled without one."""

import keras

from primer_tf._compat import flatten_layers
from primer_tf.optimizers.rsqrt_schedule import RsqrtSchedule
from primer_tf.optimizers.t5_adafactor import T5Adafactor


def default_optimizer(backbone: keras.Model) -> keras.optimizers.Optimizer:
    """Returns `T5Adafactor` with an `RsqrtSchedule`, or AdamW if LoRA is enabled.

    Adafactor's updates are relative to the size of a weight. LoRA's second kernel starts at zero,
    so it would hardly move.

    Args:
        backbone: A `PrimerBackbone`.
    """
    if any(getattr(layer, "lora_enabled", False) for layer in flatten_layers(backbone)):
        return keras.optimizers.AdamW(learning_rate=3e-3, weight_decay=0.01)
    return T5Adafactor(RsqrtSchedule())
