"""PyTorch frees the results of functions with gradients of their own when nobody needs them."""

import gc
import weakref

import keras
import pytest
from keras import ops

from primer_tf.layers.causal_attention import causal_attention
from primer_tf.layers.centred_normalization import centred_normalization

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="PyTorch frees a tensor with its last reference"
)


def attention(x):
    """Attends to `[3, 8]` with two heads."""
    heads = ops.reshape(x, (1, 2, 3, 4))
    return causal_attention(heads, heads, heads)


def normalization(x):
    """Normalizes `[3, 8]`."""
    return centred_normalization(x, ops.ones((8,)), ops.zeros((8,)), 1e-6)


@pytest.mark.parametrize("function", [attention, normalization])
def test_a_result_is_freed_without_the_garbage_collector(function):
    gc.disable()  # It would come to large tensors too late.
    try:
        x = keras.random.normal((3, 8), seed=0).requires_grad_()
        result = function(x)
        result.sum().backward()
        freed = weakref.ref(result)
        del result
        assert freed() is None
    finally:
        gc.enable()
