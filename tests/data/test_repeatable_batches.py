"""Batches for `fit` and `predict` are all read, each time, and TensorFlow tunes nothing."""

import keras
import numpy as np
import pytest

from primer_tf.data.repeatable_batches import repeatable_batches

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends read the iterator itself"
)


def batches(count=5):
    return (({"x": np.full((2, 3), i, "int32")}, np.zeros((2,), "float32")) for i in range(count))


def test_every_batch_is_read():
    read = [inputs["x"] for inputs, _ in repeatable_batches(batches)]
    np.testing.assert_array_equal(np.array(read)[:, 0, 0], range(5))


@on_tensorflow
def test_a_dataset_can_be_read_again():
    dataset = repeatable_batches(batches)
    assert [len(list(dataset)) for _ in range(2)] == [5, 5]
    inputs, targets = dataset.element_spec
    assert inputs["x"].shape == (2, 3) and targets.shape == (2,)


@on_tensorflow
def test_nothing_is_tuned():
    assert repeatable_batches(batches).options().autotune.enabled is False
