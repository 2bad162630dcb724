"""Losses of language models."""

from primer_tf.losses.next_token_loss import NextTokenLoss

__all__ = ["NextTokenLoss"]
