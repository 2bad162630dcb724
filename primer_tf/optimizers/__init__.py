"""Optimizers and learning rate schedules of T5."""

from primer_tf.optimizers.rsqrt_schedule import RsqrtSchedule
from primer_tf.optimizers.t5_adafactor import T5Adafactor

__all__ = ["RsqrtSchedule", "T5Adafactor"]
