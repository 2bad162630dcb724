"""Routing, capacity and losses of the mixture of experts."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.layers import DecoderStack, FeedForward, SwitchFeedForward
from tests.layers.helpers import numpy, randomize, value_and_gradients
from tests.layers.reference_forward import switch_feed_forward
from tests.layers.test_gradients import check

CHANNELS = 6
MASK = np.array([[1, 1, 1, 1, 1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]] * 2, "int32")


def make(**kwargs):
    layer = SwitchFeedForward(7, **{"num_experts": 3, "router_jitter": 0.0, **kwargs})
    layer.build((None, None, CHANNELS))
    randomize(layer, scale=1.0)
    return layer


def inputs(batch=4, length=10):
    return np.random.default_rng(2).standard_normal((batch, length, CHANNELS)).astype("float32")


def test_tokens_over_capacity_are_dropped_by_hand():
    """Of six tokens, 0, 2, 4 go to expert 0, which multiplies by 10; the others by 100."""
    layer = SwitchFeedForward(1, num_experts=2, activation="linear", min_expert_capacity=2)
    layer.build((1, 6, 2))
    layer.router_kernel.assign([[9.0, 0.0], [0.0, 9.0]])
    layer.intermediate_kernel.assign([[[1.0], [0.0]], [[0.0], [1.0]]])
    layer.output_kernel.assign([[[10.0, 0.0]], [[0.0, 100.0]]])
    layer.eval_capacity_factor = 0.5  # 0.5 * 6 / 2 is 1.5, below the minimum capacity
    x = np.zeros((1, 6, 2), "float32")
    x[0, 0::2, 0] = [1, 2, 3]
    x[0, 1::2, 1] = [1, 2, 3]
    gate = 1 / (1 + np.exp(-9.0 * np.array([1, 1, 2, 2])))
    y = numpy(layer(x))[0]
    np.testing.assert_allclose(y[[0, 2], 0], 10 * np.array([1, 2]) * gate[[0, 2]], rtol=1e-6)
    np.testing.assert_allclose(y[[1, 3], 1], 100 * np.array([1, 2]) * gate[[1, 3]], rtol=1e-6)
    np.testing.assert_array_equal(y[4:], 0.0)
    y, _ = layer(x, cache=layer.build_cache(1, 6))
    assert numpy(y)[0, 4, 0] == pytest.approx(30, rel=1e-6), "decoding drops no token"


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("group_size", [1024, 20, 7, 3])
def test_against_the_reference(training, mask, gated, group_size):
    factors = {"capacity_factor": 0.6, "eval_capacity_factor": 0.8}
    layer = make(gated=gated, activation="swish", group_size=group_size, **factors)
    x = inputs()
    expected, _, _ = switch_feed_forward(layer, x, training=training, padding_mask=mask)
    actual = numpy(layer(x, padding_mask=mask, training=training))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    if group_size >= 20 and mask is None:
        assert (expected == 0).all(axis=-1).any(), "the case must drop tokens"


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("group_size", [1024, 10])
def test_losses_of_the_router(mask, group_size):
    layer = make(group_size=group_size, load_balance_loss=0.3, router_z_loss=0.7)
    x = inputs()
    layer(x, padding_mask=mask)
    assert layer.losses == [], "only training has losses"
    layer(x, padding_mask=mask, training=True)
    (loss,) = layer.losses
    _, balance, z_loss = switch_feed_forward(layer, x, training=True, padding_mask=mask)
    assert float(numpy(loss)) == pytest.approx(0.3 * balance + 0.7 * z_loss, rel=1e-5)


def test_balanced_experts_cost_one():
    layer = make(num_experts=2, load_balance_loss=1.0)
    layer.router_kernel.assign(np.eye(CHANNELS, 2))
    layer(np.tile(np.eye(2, CHANNELS, dtype="float32"), (3, 4, 1)), training=True)
    assert float(numpy(layer.losses[0])) == pytest.approx(1.0)


def test_gradients_of_the_losses():
    layer = make(load_balance_loss=0.3, router_z_loss=0.7)
    x = inputs()

    def losses():
        layer(ops.convert_to_tensor(x), training=True)
        return layer.losses[-1]

    _, (gradient,) = value_and_gradients(losses, [layer.router_kernel])
    router = numpy(layer.router_kernel.value).astype("float64")

    def reference_loss(arrays):
        def read(variable):
            value = arrays.get(variable.path)
            return numpy(variable.value).astype("float64") if value is None else value

        _, balance, z_loss = switch_feed_forward(layer, x.astype("float64"), read, training=True)
        return 0.3 * balance + 0.7 * z_loss

    path = layer.router_kernel.path
    check({path: gradient}, {path: router}, reference_loss)


def test_jitter_is_uniform_noise_on_the_input_of_the_router_in_training():
    """With one channel and logits (0, 10 x), the gate at x = 1 is the logistic of 10 * noise."""
    layer = SwitchFeedForward(1, 2, activation="linear", capacity_factor=2.0, router_jitter=0.2)
    layer.build((1, 4000, 1))
    layer.router_kernel.assign([[0.0, 10.0]])
    layer.intermediate_kernel.assign(np.ones((2, 1, 1)))
    layer.output_kernel.assign(np.ones((2, 1, 1)))
    ones = np.ones((1, 4000, 1), "float32")

    def noise(**kwargs):
        gate = numpy(layer(ones, **kwargs)).astype("float64")[0, :, 0]
        return np.log(gate / (1 - gate)) / 10

    np.testing.assert_allclose(noise(training=False), 1.0, rtol=1e-2)
    first, second = noise(training=True), noise(training=True)
    assert 0.79 < first.min() < 0.81 and 1.18 < first.max() < 1.22
    assert first.mean() == pytest.approx(1.0, abs=0.01)
    assert first.std() == pytest.approx(0.2 / np.sqrt(3), rel=0.05)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


def test_the_router_computes_in_float32():
    """In bfloat16, with 8 bits, the two logits would be equal and expert 0 would be chosen."""
    layer = SwitchFeedForward(1, 2, activation="linear", dtype="mixed_bfloat16")
    layer.build((1, 1, 1))
    layer.router_kernel.assign([[1.0, 1.001]])
    layer.intermediate_kernel.assign(np.ones((2, 1, 1)))
    layer.output_kernel.assign([[[0.0]], [[8.0]]])
    ones = np.ones((1, 1, 1), "float32")
    assert float(numpy(ops.cast(layer(ones), "float32"))[0, 0, 0]) == pytest.approx(4.0, rel=1e-2)
    cached, _ = layer(ones, cache=())
    assert float(numpy(ops.cast(cached, "float32"))[0, 0, 0]) == pytest.approx(4.0, rel=1e-2)


def test_decoding_does_not_depend_on_other_rows():
    layer = make(min_expert_capacity=1)
    x = inputs(batch=40, length=1)
    together, _ = layer(x, cache=())
    for row in range(0, 40, 13):
        alone, _ = layer(x[row : row + 1], cache=())
        np.testing.assert_allclose(numpy(together)[row], numpy(alone)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (40, 1), (3, 7), (2, 70)])
def test_decoding_without_capacity_is_the_definition(shape):
    layer = make(eval_capacity_factor=3.0, gated=True)
    x = inputs(*shape)
    expected, _, _ = switch_feed_forward(layer, x)
    actual, _ = layer(x, cache=())
    np.testing.assert_allclose(numpy(actual), expected, rtol=1e-4, atol=1e-5)


def test_decoding_has_room_for_the_largest_number_of_blocks():
    """140 tokens split into 33, 33 and 74, so the last tokens of an expert need another block."""
    layer = make(gated=True)
    pool = inputs(batch=1, length=2000)[0]
    expert = (pool @ numpy(layer.router_kernel.value)).argmax(axis=-1)
    chosen = [np.flatnonzero(expert == e)[:n] for e, n in enumerate((33, 33, 74))]
    assert [len(rows) for rows in chosen] == [33, 33, 74]
    x = pool[np.concatenate(chosen)].reshape(2, 70, CHANNELS)
    definition = make(gated=True, eval_capacity_factor=3.0)
    for weight, value in zip(definition.weights, layer.weights, strict=True):
        weight.assign(value)
    expected, _, _ = switch_feed_forward(definition, x)
    np.testing.assert_allclose(numpy(layer(x, cache=())[0]), expected, rtol=1e-4, atol=1e-5)


def test_a_token_changes_nothing_before_it_in_its_row():
    """Its expert may reach its capacity earlier, but only for later tokens."""
    layer = make(eval_capacity_factor=0.7)
    x = inputs(batch=1, length=24)
    before = numpy(layer(x))
    for position in range(24):
        changed = x.copy()
        changed[:, position] *= -1.0
        after = numpy(layer(changed))
        np.testing.assert_allclose(after[:, :position], before[:, :position], atol=1e-6)


def test_batches_of_unknown_size_compiled():
    """Keras compiles with XLA on TensorFlow, and sizes are tensors while it traces."""
    layer = make(capacity_factor=0.9, eval_capacity_factor=0.9)
    x_in = keras.Input((None, CHANNELS))
    model = keras.Model(x_in, layer(x_in))
    model.compile(jit_compile=keras.backend.backend() != "torch")
    for batch in (4, 3):
        x = inputs(batch=batch)
        expected, _, _ = switch_feed_forward(layer, x)
        actual = model.predict(x, batch_size=batch, verbose=0)
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("checkpointing", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_losses_reach_fit_but_not_evaluate(checkpointing):
    losses = {"router_jitter": 0.0, "load_balance_loss": 0.3, "router_z_loss": 0.7}
    experts = SwitchFeedForward(7, 3, capacity_factor=2.0, **losses)
    stack = DecoderStack([FeedForward(5), experts], 2, gradient_checkpointing=checkpointing)
    x_in = keras.Input((None, CHANNELS))
    model = keras.Model(x_in, stack(x_in))
    randomize(stack)
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=keras.backend.backend() != "torch")
    x = inputs()
    evaluated = model.evaluate(x, np.zeros_like(x), verbose=0)
    # No shuffling, because the order of the rows decides which tokens are dropped.
    history = model.fit(x, np.zeros_like(x), batch_size=4, shuffle=False, verbose=0).history
    expected, z = 0.0, numpy(x)
    for block in stack.blocks:
        first, second = block.sublayers
        z = z + numpy(first.layer(first.norm(z)))
        y, balance, z_loss = switch_feed_forward(second.layer, numpy(second.norm(z)))
        expected += 0.3 * balance + 0.7 * z_loss
        z = z + y
    assert history["loss"][0] - evaluated == pytest.approx(expected, rel=1e-4)
