"""AdamW and Muon against NumPy, with clipping, weight decay, averages and accumulated gradients."""

import contextlib

import keras
import numpy as np
import pytest

from primer_tf.errors import UserError
from primer_tf.optimizers import RsqrtSchedule, T5Adafactor, make_optimizer
from primer_tf.optimizers.averaged_weights import averaged_weights, start_averages, use_averages
from tests.training.test_t5_adafactor import apply, array

RATE = 0.01
WARMUP = 4
PATHS = {
    "decoder/block_0/attention/query/kernel": (6, 4),
    "decoder/block_0/attention/query_conv/tap_0": (5,),
    "token_embedding/embeddings": (7, 4),
    "decoder/block_0/switch_feed_forward/intermediate_kernel": (2, 3, 4),
}


def constant():
    """A schedule of `RATE` for some steps."""
    return RsqrtSchedule(WARMUP, RATE * WARMUP**0.5)


def weights_and_gradients(steps=3):
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(shape).astype("float32") for shape in PATHS.values()]
    gradients = [
        [rng.standard_normal(shape).astype("float32") for shape in PATHS.values()]
        for _ in range(steps)
    ]
    weights = []
    for path, value in zip(PATHS, values, strict=True):
        *scopes, name = path.split("/")
        with contextlib.ExitStack() as stack:
            for scope in scopes:
                stack.enter_context(keras.name_scope(scope))
            weights.append(keras.Variable(value, name=name))
    assert [weight.path for weight in weights] == list(PATHS)
    return weights, values, gradients


def train(optimizer, weights, gradients):
    optimizer.build(weights)
    for step in gradients:
        apply(optimizer, weights, [keras.ops.convert_to_tensor(g) for g in step])


def adam(weight, gradients, decay):
    """Loshchilov and Hutter 2019, algorithm 2, with the constants of GPT-3."""
    w, m, v = weight.astype("float64"), 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        w = w - RATE * decay * w
        m = 0.9 * m + 0.1 * g
        v = 0.95 * v + 0.05 * g.astype("float64") ** 2
        w = w - RATE * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)
    return w


def muon(weight, gradients, decay):
    """Jordan et al. 2024, with Nesterov's momentum, in the size of Liu et al. 2025, equation 4."""
    w, m = weight.astype("float64"), 0.0
    for g in gradients:
        w = w - RATE * decay * w
        m = 0.95 * m + g
        x = g + 0.95 * m
        x = x.T / np.linalg.norm(x)  # rows are the shorter axis
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        w = w - RATE * 0.2 * np.sqrt(max(w.shape)) * x.T
    return w


@pytest.mark.parametrize("decay", [None, 0.0, 0.3])
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_by_definition(name, decay):
    weights, values, gradients = weights_and_gradients()
    train(make_optimizer(name, constant(), weights, weight_decay=decay), weights, gradients)
    decay = 0.1 if decay is None else decay
    for i, (path, weight) in enumerate(zip(PATHS, weights, strict=True)):
        rule = muon if name == "muon" and path.endswith("query/kernel") else adam
        of_weight = [step[i] for step in gradients]
        expected = rule(values[i], of_weight, decay if values[i].ndim > 1 else 0.0)
        np.testing.assert_allclose(array(weight), expected, rtol=1e-4, atol=1e-5, err_msg=path)


def test_adafactor_is_what_it_was():
    optimizer = make_optimizer("adafactor", constant(), [])
    expected = T5Adafactor(constant()).get_config()
    assert type(optimizer) is T5Adafactor and optimizer.get_config() == expected


@pytest.mark.parametrize("name", ["adafactor", "adamw", "muon"])
def test_accumulated_gradients_are_those_of_a_large_batch(name):
    """Clipped together, and with the learning rate of the update."""
    results = []
    for batches in (1, 2):
        weights, _, gradients = weights_and_gradients(2 * 6)
        if batches == 1:
            pairs = zip(gradients[::2], gradients[1::2], strict=True)
            gradients = [[(a + b) / 2 for a, b in zip(*pair, strict=True)] for pair in pairs]
        optimizer = make_optimizer(
            name,
            constant(),
            weights,
            global_clipnorm=1.5,
            gradient_accumulation_steps=batches,
        )
        train(optimizer, weights, gradients)
        assert int(optimizer.iterations) == 6
        results.append([array(weight) for weight in weights])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_global_clipnorm():
    """Of gradients that are all small but for one, all are scaled down."""
    weights, values, _ = weights_and_gradients()
    gradients = [np.full(v.shape, 0.01, "float32") for v in values]
    gradients[1] = np.full((5,), 10.0, "float32")
    norm = np.sqrt(sum((g.astype("float64") ** 2).sum() for g in gradients))
    optimizer = make_optimizer("adamw", constant(), weights, 0.0, global_clipnorm=0.5)
    train(optimizer, weights, [gradients])
    moments = [v for v in optimizer.variables if v.path.endswith("_momentum")]
    for moment, gradient in zip(moments, gradients, strict=True):
        np.testing.assert_allclose(array(moment), 0.1 * gradient * 0.5 / norm, rtol=1e-4)


def averages_by_definition(values, momentum):
    mean = values[0]
    for value in values[1:]:
        mean = momentum * mean + (1 - momentum) * value
    return mean


def test_moving_averages():
    weights, _, gradients = weights_and_gradients(5)
    optimizer = make_optimizer("adamw", constant(), weights, ema_momentum=0.9)
    history = []
    for step in gradients:
        train(optimizer, weights, [step])
        history.append(array(weights[0]).astype("float64"))
    raw, expected = history[-1], averages_by_definition(history, 0.9)
    for _ in range(2):
        with averaged_weights(optimizer):
            np.testing.assert_allclose(array(weights[0]), expected, rtol=1e-5)
        np.testing.assert_array_equal(array(weights[0]), raw.astype("float32"))
    with pytest.raises(KeyboardInterrupt), averaged_weights(optimizer):
        raise KeyboardInterrupt
    np.testing.assert_array_equal(array(weights[0]), raw.astype("float32"))
    use_averages(optimizer)
    np.testing.assert_allclose(array(weights[0]), expected, rtol=1e-5)


def test_averages_start_at_the_weights_of_a_preset():
    """They do so although the optimizer has done steps before."""
    weights, values, _ = weights_and_gradients()
    optimizer = make_optimizer("adafactor", constant(), weights, ema_momentum=0.9)
    optimizer.build(weights)
    optimizer.iterations.assign(100)
    start_averages(optimizer)
    with averaged_weights(optimizer):
        np.testing.assert_array_equal(array(weights[0]), values[0])


def test_without_averages_nothing_happens():
    weights, values, _ = weights_and_gradients()
    optimizer = make_optimizer("adamw", constant(), weights)
    optimizer.build(weights)
    with averaged_weights(optimizer):
        np.testing.assert_array_equal(array(weights[0]), values[0])


def test_an_unknown_name():
    with pytest.raises(UserError, match="one of adafactor, adamw, muon; received 'sgd'"):
        make_optimizer("sgd", constant(), [])
