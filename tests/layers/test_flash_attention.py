"""Flash attention equals attention by query blocks at real positions, and so do its gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.layers import causal_attention, flash_attention
from tests.layers.helpers import numpy

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="only on JAX")

BATCH, HEADS, LENGTH, CHANNELS = 2, 3, 16, 8
MASKS = {
    "none": None,
    "all": np.ones((BATCH, LENGTH), "int32"),
    "right": np.arange(LENGTH) < np.array([[LENGTH], [5]]),
    "left": np.arange(LENGTH) >= np.array([[0], [5]]),
    "inside": np.arange(LENGTH) != np.array([[7], [8]]),
}


def arrays(length, channels, dtype):
    """Returns queries, keys, values, biases and the gradient of the result."""
    shape = (BATCH, HEADS, length, channels)
    shapes = [shape, shape, shape, (HEADS, 9), shape]
    made = (keras.random.normal(each, seed=i) for i, each in enumerate(shapes))
    query, *others = (ops.cast(each, dtype) for each in made)
    return [query / channels**0.5, *others]


def value_and_gradients(inputs, upstream, mask):
    """Returns the results at real positions and the gradients in all inputs."""
    import jax

    real = np.ones(upstream.shape[::2], bool) if mask is None else np.asarray(mask, bool)
    upstream = ops.where(ops.convert_to_tensor(real)[:, None, :, None], upstream, 0.0)

    def function(*inputs):
        return causal_attention.causal_attention(*inputs, padding_mask=mask)

    output, pull_back = jax.vjp(jax.jit(function), *inputs)
    at_real = numpy(ops.transpose(output, (0, 2, 1, 3)))[real]
    return [at_real, *map(numpy, pull_back(upstream.astype(output.dtype)))]


@pytest.mark.parametrize("mask", MASKS)
def test_the_choice_by_padding(mask, monkeypatch):
    *inputs, upstream = arrays(LENGTH, CHANNELS, "float32")
    expected = value_and_gradients(inputs, upstream, MASKS[mask])
    runs = []

    def without_cudnn(*args, flash_attention, **kwargs):
        runs.append(flash_attention)
        return dot_product_attention(*args, flash_attention=False, **kwargs)

    dot_product_attention = ops.dot_product_attention
    monkeypatch.setattr(causal_attention, "can_use_flash_attention", lambda query: True)
    monkeypatch.setattr(flash_attention.ops, "dot_product_attention", without_cudnn)
    found = value_and_gradients(inputs, upstream, MASKS[mask])
    assert runs
    assert all(runs)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_what_it_needs(monkeypatch):
    monkeypatch.setattr(flash_attention, "supports_flash_attention", lambda *args: True)
    half = ops.zeros((1, 2, 1024, 64), "bfloat16")
    assert flash_attention.can_use_flash_attention(half)
    assert not flash_attention.can_use_flash_attention(ops.cast(half, "float32"))
    assert not flash_attention.can_use_flash_attention(ops.zeros((1, 2, 16384, 64), "bfloat16"))
    enabled = keras.config.is_flash_attention_enabled()
    monkeypatch.setattr(keras.config, "is_flash_attention_enabled", lambda: False)
    assert enabled is not False
    assert not flash_attention.can_use_flash_attention(half)


@pytest.mark.parametrize("length", [128, 1000])
@pytest.mark.parametrize("mask", ["none", "all", "left"])
def test_on_a_gpu(length, mask):
    *inputs, upstream = arrays(length, 64, "bfloat16")
    if not flash_attention.can_use_flash_attention(inputs[0]):
        pytest.skip("needs an NVIDIA GPU with flash attention")
    masks = {"none": None, "all": np.ones((BATCH, length), "int32")}
    masks["left"] = (np.arange(length) >= np.array([[0], [5]])).astype("int32")
    wide = [ops.cast(x, "float32") for x in inputs]
    expected = value_and_gradients(wide, ops.cast(upstream, "float32"), masks[mask])
    for a, b in zip(value_and_gradients(inputs, upstream, masks[mask]), expected, strict=True):
        assert np.linalg.norm(a.astype("float32") - b) < 0.015 * np.linalg.norm(b)
