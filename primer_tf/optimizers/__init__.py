"""Optimizers and learning rate schedules."""

from primer_tf.optimizers.accumulated_schedule import AccumulatedSchedule
from primer_tf.optimizers.linear_decay import LinearDecay
from primer_tf.optimizers.linear_warmup import LinearWarmup
from primer_tf.optimizers.make_optimizer import make_optimizer
from primer_tf.optimizers.make_schedule import make_schedule
from primer_tf.optimizers.offset_schedule import OffsetSchedule
from primer_tf.optimizers.product_schedule import ProductSchedule
from primer_tf.optimizers.rsqrt_schedule import RsqrtSchedule
from primer_tf.optimizers.t5_adafactor import T5Adafactor

__all__ = [
    "AccumulatedSchedule",
    "LinearDecay",
    "LinearWarmup",
    "OffsetSchedule",
    "ProductSchedule",
    "RsqrtSchedule",
    "T5Adafactor",
    "make_optimizer",
    "make_schedule",
]
