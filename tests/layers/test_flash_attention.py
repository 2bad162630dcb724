"""Flash attention equals attention by query blocks, and so do its gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.layers import causal_attention, flash_attention
from tests.layers.helpers import numpy

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="only on JAX")

BATCH, HEADS, LENGTH, CHANNELS = 2, 3, 16, 8


def arrays(length, channels, dtype):
    """Returns queries, keys, values, biases and the gradient of the result."""
    shape = (BATCH, HEADS, length, channels)
    shapes = [shape, shape, shape, (HEADS, 9), shape]
    made = (keras.random.normal(each, seed=i) for i, each in enumerate(shapes))
    query, *others = (ops.cast(each, dtype) for each in made)
    return [query / channels**0.5, *others]


def value_and_gradients(inputs, upstream, **masks):
    """Returns the result and the gradients in all inputs."""
    import jax

    def function(*inputs):
        return causal_attention.causal_attention(*inputs, **masks)

    output, pull_back = jax.vjp(jax.jit(function), *inputs)
    return [numpy(output), *map(numpy, pull_back(upstream))]


@pytest.fixture
def runs(monkeypatch):
    """Keras' attention without cuDNN in place of flash attention; returns the list of its runs."""
    found = []

    def without_cudnn(*args, flash_attention, **kwargs):
        found.append(flash_attention)
        return dot_product_attention(*args, flash_attention=False, **kwargs)

    dot_product_attention = ops.dot_product_attention
    monkeypatch.setattr(causal_attention, "can_use_flash_attention", lambda query: True)
    monkeypatch.setattr(flash_attention.ops, "dot_product_attention", without_cudnn)
    return found


def test_against_query_blocks(monkeypatch, runs):
    *inputs, upstream = arrays(LENGTH, CHANNELS, "float32")
    found = value_and_gradients(inputs, upstream)
    assert runs == [True]
    monkeypatch.setattr(causal_attention, "can_use_flash_attention", lambda query: False)
    for a, b in zip(found, value_and_gradients(inputs, upstream), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mask", ["padding_mask", "segment_ids"])
def test_not_with_a_mask(runs, mask):
    *inputs, upstream = arrays(LENGTH, CHANNELS, "float32")
    value_and_gradients(inputs, upstream, **{mask: np.ones((BATCH, LENGTH), "int32")})
    assert not runs


def test_what_it_needs(monkeypatch):
    monkeypatch.setattr(flash_attention, "supports_flash_attention", lambda *args: True)
    half = ops.zeros((1, 2, 1024, 64), "bfloat16")
    assert flash_attention.can_use_flash_attention(half)
    assert not flash_attention.can_use_flash_attention(ops.cast(half, "float32"))
    assert not flash_attention.can_use_flash_attention(ops.zeros((1, 2, 16384, 64), "bfloat16"))
    for length in (64, 1001):
        assert not flash_attention.can_use_flash_attention(half[:, :, :length])
    monkeypatch.setattr(keras.config, "is_flash_attention_enabled", lambda: False)
    assert not flash_attention.can_use_flash_attention(half)


@pytest.mark.parametrize("length", [128, 1000])
def test_on_a_gpu(length):
    *inputs, upstream = arrays(length, 64, "bfloat16")
    if not flash_attention.can_use_flash_attention(inputs[0]):
        pytest.skip("needs an NVIDIA GPU with flash attention")
    wide = [ops.cast(x, "float32") for x in inputs]
    expected = value_and_gradients(wide, ops.cast(upstream, "float32"))
    for a, b in zip(value_and_gradients(inputs, upstream), expected, strict=True):
        assert np.linalg.norm(a.astype("float32") - b) < 0.02 * np.linalg.norm(b)
