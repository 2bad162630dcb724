"""Samplers for `generate`, beside those of KerasHub."""

from primer_tf.samplers.greedy_sampler import GreedySampler
from primer_tf.samplers.make_sampler import make_sampler

__all__ = ["GreedySampler", "make_sampler"]
