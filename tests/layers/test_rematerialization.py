"""Gradient checkpointing computes blocks again; the other tests check that it changes nothing."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.layers import DecoderStack, FeedForward


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts TensorFlow's calls")
@pytest.mark.parametrize("checkpointing, calls", [(False, 1), (True, 2)])
def test_the_gradient_computes_every_block_again(checkpointing, calls, monkeypatch):
    import tensorflow as tf

    counted, call = [], FeedForward.call

    @functools.wraps(call)
    def counting(layer, *args, **kwargs):
        counted.append(layer)
        return call(layer, *args, **kwargs)

    monkeypatch.setattr(FeedForward, "call", counting)
    stack = DecoderStack([FeedForward(5)], num_blocks=3, gradient_checkpointing=checkpointing)
    x = np.random.default_rng(0).standard_normal((2, 4, 6)).astype("float32")
    stack.build(x.shape)
    with tf.GradientTape() as tape:
        loss = ops.sum(stack(x, training=True))
    assert len(counted) == 3
    tape.gradient(loss, [weight.value for weight in stack.trainable_weights])
    assert len(counted) == 3 * calls
