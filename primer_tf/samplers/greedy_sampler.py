"""Greedy sampler that compares logits."""

import keras
from keras import ops
from keras_hub.samplers import GreedySampler as KerasHubGreedySampler


@keras.saving.register_keras_serializable(package="primer_tf")
class GreedySampler(KerasHubGreedySampler):
    """`keras_hub.samplers.GreedySampler` without its softmax, which leaves the order as it is.

    Faster, and exact: close logits may have equal probabilities after rounding.

    Args:
        **kwargs: Arguments of `keras_hub.samplers.GreedySampler`.

    Example:

    >>> model.compile(sampler=GreedySampler())
    """

    def compute_probabilities(self, logits):
        """Returns the logits themselves, `[B, V]`, in float32."""
        return ops.cast(logits, "float32")
