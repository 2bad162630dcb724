"""Training as T5 does it: optimizer, schedule, loss, packed data, checkpoints, evaluation."""

from primer_tf.training.next_token_loss import NextTokenLoss
from primer_tf.training.rsqrt_schedule import RsqrtSchedule
from primer_tf.training.t5_adafactor import T5Adafactor
from primer_tf.training.token_chunks import TokenChunks

__all__ = ["NextTokenLoss", "RsqrtSchedule", "T5Adafactor", "TokenChunks"]
