"""Batches for Keras' `fit` and `predict`."""

from collections.abc import Callable, Iterator
from typing import Any

import keras


def repeatable_batches(batches: Callable[[], Iterator[Any]]) -> Any:
    """Returns batches as Keras reads them: an iterator, or on TensorFlow a dataset.

    Keras would make a dataset of an iterator itself, with two faults. With several replicas
    TensorFlow begins to read twice, and the batches that were read at first are lost. And
    TensorFlow tunes its threads, at times that double from 10 ms on (so after 1.3, 2.6, 5.1
    seconds); half of the calls of `fit` and `predict` do not return before the next of them. This
    dataset can begin again, and has nothing to tune.

    Args:
        batches: Function to an iterator of the batches from the first on, nested structures of
            arrays of the same shapes.
    """
    if keras.backend.backend() != "tensorflow":
        return batches()
    import tensorflow as tf

    signature = tf.nest.map_structure(
        lambda array: tf.TensorSpec(array.shape, array.dtype), next(batches())
    )
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return dataset.with_options(options)
