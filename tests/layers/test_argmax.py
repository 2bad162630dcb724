"""The place of the largest number, in every form that a backend compiles."""

import keras
import numpy as np
import pytest

from primer_tf.layers.argmax import argmax
from tests.layers.helpers import compiled

NUMBERS = [
    [[0.5, 2.0, 1.0, 2.0], [3.0, -1.0, 0.0, 2.0]],
    [[-np.inf, -np.inf, -5.0, -5.0], [7.0, 7.0, 7.0, 7.0]],
]


@pytest.mark.parametrize("form", [lambda function: function, compiled])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_first_of_equals(form, dtype):
    found = form(argmax)(keras.ops.convert_to_tensor(NUMBERS, dtype=dtype))
    assert keras.backend.standardize_dtype(found.dtype) == "int32"
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), np.argmax(NUMBERS, axis=-1))
