"""int8 products of single vectors, as in decoding, equal NumPy's products of integers."""

import numpy as np
import pytest
from keras import ops

from primer_tf.layers.dense import Dense, int8_product
from tests.layers.helpers import compiled, numpy


def in_a_loop(layer, x):
    """Applies a layer inside a compiled loop, as decoding does."""

    def function(x):
        rows = layer.decoding_weights()
        first = layer.project(x, rows)
        return ops.fori_loop(0, 3, lambda _, y: layer.project(x, rows), ops.zeros_like(first))

    return numpy(compiled(function)(ops.convert_to_tensor(x)))


def by_integers(x, kernel):
    """Quantizes `x` as a whole and `kernel` by column to -127 .. 127, and multiplies them."""
    x_scale = 127 / (np.abs(x).max() + 1e-7)
    scales = 127 / (np.abs(kernel).max(axis=0) + 1e-7)
    integers = np.round(x * x_scale).astype("int64") @ np.round(kernel * scales).astype("int64")
    return integers / (x_scale * scales)


@pytest.fixture
def kernel():
    # The columns differ widely in size, so each needs its own scale.
    rng = np.random.default_rng(0)
    return (rng.standard_normal((48, 20)) * np.logspace(-2, 2, 20)).astype("float32")


@pytest.fixture
def layer(kernel):
    layer = Dense(20, activation="relu")
    layer.build((None, None, 48))
    layer.kernel.assign(kernel)
    layer.bias.assign(np.linspace(-1.0, 1.0, 20))
    layer.quantize("int8")
    return layer


@pytest.mark.parametrize("shape", [(1, 1, 48), (1, 48), (2, 1, 48)])
def test_products_equal_those_of_integers(layer, kernel, shape):
    x = np.random.default_rng(1).standard_normal(shape).astype("float32")
    rows = [np.maximum(by_integers(row, kernel) + layer.bias, 0.0) for row in x.reshape(-1, 48)]
    expected = np.reshape(rows, (*shape[:-1], 20))
    # The difference from the float product must be visible.
    assert np.abs(np.maximum(x @ kernel + numpy(layer.bias), 0.0) - expected).max() > 1e-3
    np.testing.assert_allclose(in_a_loop(layer, x), expected, rtol=1e-5, atol=1e-5)


def test_lora_is_added(layer):
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones((2, 20)))
    x = np.random.default_rng(1).standard_normal((1, 1, 48)).astype("float32")
    np.testing.assert_allclose(in_a_loop(layer, x), numpy(layer(x)), rtol=1e-5, atol=1e-5)


def test_a_vector_of_nan_gives_nan(kernel):
    rows = np.round(kernel.T).astype("int8")
    x = np.full((1, 48), np.nan, "float32")
    assert np.isnan(numpy(int8_product(x, rows, np.ones(20, "float32")))).all()
