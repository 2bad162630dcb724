"""Greedy sampler that compares logits."""

import keras
from keras import ops
from keras_hub.samplers import GreedySampler as KerasHubGreedySampler

from primer_tf.layers.argmax import argmax
from primer_tf.types import Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class GreedySampler(KerasHubGreedySampler):
    """`keras_hub.samplers.GreedySampler` without its softmax, which does not change the order.

    It is faster, and exact: close logits may have equal probabilities after rounding.

    Args:
        **kwargs: Arguments of `keras_hub.samplers.GreedySampler`.

    Example:

    >>> import keras
    >>> from primer_tf.samplers import GreedySampler
    >>> logits = keras.ops.convert_to_tensor([[0.5, 2.0, 1.0]])
    >>> sampler = GreedySampler()
    >>> int(sampler.get_next_token(sampler.compute_probabilities(logits))[0])
    1
    """

    def compute_probabilities(self, logits: Tensor) -> Tensor:
        """Returns the logits themselves, `[B, V]`, in float32."""
        return ops.cast(logits, "float32")

    def get_next_token(self, probabilities: Tensor) -> Tensor:
        """Returns the token with the largest logit, `[B]`; of equals, the first."""
        return argmax(probabilities)
