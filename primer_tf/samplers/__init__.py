"""Samplers for `generate`, beside those of KerasHub."""

from primer_tf.samplers.greedy_sampler import GreedySampler

__all__ = ["GreedySampler"]
