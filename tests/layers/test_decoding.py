"""Layers are causal, and decoding with a cache equals the full forward pass."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.layers import (
    CausalSelfAttention,
    DecoderStack,
    EvolvedConvolution,
    FeedForward,
    MultiDConvHeadAttention,
    SwitchFeedForward,
    SynthesizerAttention,
    TokenShiftAttention,
    position_cache,
)
from primer_tf.layers.position_cache import write_cache
from tests.layers.helpers import numpy, randomize

LENGTH, CHANNELS = 9, 12
VARIANTS = {
    "plain": lambda: [CausalSelfAttention(3)],
    "mdha": lambda: [MultiDConvHeadAttention(3, kernel_size=3)],
    "mdha_wide": lambda: [MultiDConvHeadAttention(3, kernel_size=5)],
    "mdha_of_values": lambda: [MultiDConvHeadAttention(3, convolved=["value"])],
    "token_shift": lambda: [TokenShiftAttention(3)],
    "shared": lambda: [MultiDConvHeadAttention(3, kernel_size=3, shared_query_key=True)],
    "shared_plain": lambda: [CausalSelfAttention(3, shared_query_key=True)],
    "synthesizer": lambda: [SynthesizerAttention(3, max_length=LENGTH + 2)],
    "evolved": lambda: [EvolvedConvolution(), CausalSelfAttention(6)],
    # One expert has room for all tokens, so none is dropped.
    "switch": lambda: [
        MultiDConvHeadAttention(3),
        SwitchFeedForward(10, num_experts=4, eval_capacity_factor=4.0),
    ],
    "convolution_alone": lambda: [EvolvedConvolution()],
}


@pytest.fixture(params=VARIANTS)
def stack(request):
    layers = [*VARIANTS[request.param](), FeedForward(10)]
    stack = DecoderStack(layers, num_blocks=2, normalization="primer", placement="alternating")
    stack.build((None, None, CHANNELS))
    randomize(stack)
    return stack


@pytest.fixture
def x():
    return np.random.default_rng(7).standard_normal((2, LENGTH, CHANNELS)).astype("float32")


def test_a_token_changes_nothing_before_it(stack, x):
    before = numpy(stack(x))
    for position in range(LENGTH):
        changed = x.copy()
        changed[:, position] += 1.0
        after = numpy(stack(changed))
        np.testing.assert_allclose(after[:, :position], before[:, :position], atol=1e-5)
        assert np.abs(after[:, position] - before[:, position]).max() > 1e-3


@pytest.mark.parametrize("joined", [False, True])
def test_one_token_at_a_time_equals_the_full_pass(stack, x, joined):
    full = numpy(stack(x))
    cache = stack.build_cache(2, LENGTH + 2)
    weights = stack.decoding_weights() if joined else None
    for position in range(LENGTH):
        y, cache = stack(
            x[:, position : position + 1],
            cache=cache,
            cache_update_index=position,
            decoding_weights=weights,
        )
        np.testing.assert_allclose(numpy(y)[:, 0], full[:, position], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("restart", [1, 2, 4])
def test_decoding_may_go_back_after_a_prefill(stack, x, restart):
    """KerasHub prefills the whole padded prompt, then restarts at the shortest row's end."""
    prompt = x.copy()
    prompt[:, restart:] = 123.0  # these values of the prefill must not matter
    _, cache = stack(prompt, cache=stack.build_cache(2, LENGTH), cache_update_index=0)
    full = numpy(stack(x))
    for position in range(restart - 1, LENGTH):
        token = x[:, position : position + 1]
        y, cache = stack(token, cache=cache, cache_update_index=position)
        np.testing.assert_allclose(numpy(y)[:, 0], full[:, position], rtol=1e-4, atol=1e-5)


def test_chunks_of_tokens(stack, x):
    full = numpy(stack(x))
    cache = stack.build_cache(2, LENGTH)
    parts = []
    for start, stop in ((0, 4), (4, 5), (5, LENGTH)):
        y, cache = stack(x[:, start:stop], cache=cache, cache_update_index=start)
        parts.append(numpy(y))
    np.testing.assert_allclose(np.concatenate(parts, axis=1), full, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's functions")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_cache_in_a_graph(jit_compile):
    """Outside XLA it is written in place; what comes out is the same."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    cache, x = rng.normal(size=(3, 5, 2)), rng.normal(size=(3, 2, 2))
    write = tf.function(write_cache, jit_compile=jit_compile)
    expected = cache.copy()
    for row, index in enumerate((0, 3, 1)):
        expected[row, index : index + 2] = x[row]
    # A copy: the array of NumPy is not to change.
    actual = write(tf.identity(cache) + 0, tf.constant(x), tf.constant([0, 3, 1]))
    np.testing.assert_array_equal(actual.numpy(), expected)


@pytest.mark.parametrize("count", [1, 2])
def test_rows_at_positions_of_their_own(stack, x, count):
    """Rows of different lengths run together, each from its own end."""
    lengths, full = np.array([5, 2]), numpy(stack(x))
    prompt = np.where(np.arange(LENGTH)[None, :, None] < lengths[:, None, None], x, 123.0)
    _, cache = stack(prompt, cache=stack.build_cache(2, LENGTH), cache_update_index=0)
    for step in range(0, 4, count):
        positions = lengths[:, None] + step + np.arange(count)
        tokens = np.take_along_axis(x, positions[:, :, None], axis=1)
        index = ops.convert_to_tensor(positions[:, 0], dtype="int32")
        y, cache = stack(tokens, cache=cache, cache_update_index=index)
        expected = np.take_along_axis(full, positions[:, :, None], axis=1)
        np.testing.assert_allclose(numpy(y), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="no XLA")
@pytest.mark.parametrize("is_per_row", [False, True])
def test_xla_reads_only_the_filled_part_of_a_cache(x, monkeypatch, is_per_row):
    """The rest may hold anything, even what would spoil a sum in which its weight is zero."""
    monkeypatch.setattr(position_cache, "SHORTEST_READ", 2)
    stack = DecoderStack([MultiDConvHeadAttention(3)], num_blocks=1)
    stack.build((None, None, CHANNELS))
    randomize(stack)
    expected, (block,) = numpy(stack(x)), stack.build_cache(2, LENGTH)
    (attention,) = block
    for name in ("key", "value"):  # Reads are of 2, 4, 8 or all 9 positions.
        attention[name] = ops.concatenate(
            [attention[name][:, :8], np.nan * attention[name][:, 8:]], 1
        )

    def step(x, cache, index):
        return stack(x, cache=cache, cache_update_index=index)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        step = tf.function(step, jit_compile=True, autograph=False)
    cache = ((attention,),)
    for position in range(LENGTH):
        index = np.array([position, position] if is_per_row else position, "int32")
        index = ops.convert_to_tensor(index)
        y, cache = step(ops.convert_to_tensor(x[:, position : position + 1]), cache, index)
        np.testing.assert_allclose(numpy(y)[:, 0], expected[:, position], rtol=1e-4, atol=1e-5)
