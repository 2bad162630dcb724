"""Batches for Keras' `fit` and `predict`, also under a strategy of TensorFlow."""

from collections.abc import Callable, Iterator
from typing import Any

import keras


def repeatable_batches(batches: Callable[[], Iterator[Any]]) -> Any:
    """Returns batches as Keras reads them: an iterator, or a dataset if TensorFlow has replicas.

    With several replicas TensorFlow begins to read twice, and Keras' `fit` would lose the batches
    of a Python iterator that were read at first. A dataset begins again.

    Args:
        batches: Function to an iterator of the batches from the first on, nested structures of
            arrays of the same shapes.
    """
    if keras.backend.backend() != "tensorflow":
        return batches()
    import tensorflow as tf

    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return batches()
    signature = tf.nest.map_structure(
        lambda array: tf.TensorSpec(array.shape, array.dtype), next(batches())
    )
    return tf.data.Dataset.from_generator(batches, output_signature=signature)
