"""T5Adafactor against NumPy, alone and in what Keras wraps around an optimizer."""

import keras
import numpy as np
import pytest

from primer_tf.optimizers import RsqrtSchedule, T5Adafactor

BACKEND = keras.backend.backend()


def by_definition(weight, gradients, rates, factored):
    """Shazeer and Stern, algorithm 4 without momentum, in float64."""
    w = weight.astype("float64")
    full, row, column = 0.0, 0.0, 0.0
    for step, (g, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        beta = 1.0 - step**-0.8
        squared = g.astype("float64") ** 2 + 1e-30
        if factored:  # of a stack of matrices, each by itself
            row = beta * row + (1 - beta) * squared.mean(axis=-1)
            column = beta * column + (1 - beta) * squared.mean(axis=-2)
            moment = np.einsum("...r,...c->...rc", row, column)
            moment /= row.mean(axis=-1)[..., None, None]
        else:
            full = beta * full + (1 - beta) * squared
            moment = full
        update = g / np.sqrt(moment)
        update /= max(1.0, np.sqrt((update**2).mean()))
        w = w - rate * max(1e-3, np.sqrt((w**2).mean())) * update
    return w


def apply(optimizer, variables, gradients):
    """Applies gradients, as each backend's `fit` does."""
    if BACKEND != "jax":
        optimizer.apply(gradients, variables)
        return
    state = [v.value for v in optimizer.variables], gradients, [v.value for v in variables]
    values, state = optimizer.stateless_apply(*state)
    for variable, value in zip([*variables, *optimizer.variables], [*values, *state], strict=True):
        variable.assign(value)


def array(x):
    return keras.ops.convert_to_numpy(x)


@pytest.mark.parametrize(
    "shape", [(5,), (130, 20), (20, 130), (128, 140), (140, 128), (3, 129, 140)]
)
def test_by_definition(shape):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(shape).astype("float32")
    gradients = [rng.standard_normal(shape).astype("float32") for _ in range(6)]
    schedule = RsqrtSchedule(warmup_steps=3)
    optimizer = T5Adafactor(schedule)
    variable = keras.Variable(weight)
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)])
    factored = len(shape) >= 2 and min(shape[-2:]) >= 128
    rates = [max(step, 3) ** -0.5 for step in range(6)]
    expected = by_definition(weight, gradients, rates, factored)
    np.testing.assert_allclose(array(variable), expected, rtol=1e-4, atol=1e-6)
    moments = sum(np.prod(v.shape) for v in optimizer.variables if "_slot_" in v.name)
    stack = np.prod(shape[:-2])
    assert moments == (stack * sum(shape[-2:]) if factored else np.prod(shape))


def test_config():
    config = T5Adafactor(0.02, min_dim_size_to_factor=64).get_config()
    assert T5Adafactor.from_config(config).get_config() == config


def clipped_by_norm(gradients, norm):
    return [g * min(1.0, norm / np.linalg.norm(g)) for g in gradients]


def clipped_together(gradients, norm):
    factor = min(1.0, norm / np.sqrt(sum((g**2).sum() for g in gradients)))
    return [g * factor for g in gradients]


CLIPPING = {
    "clipnorm": (0.5, clipped_by_norm),
    "global_clipnorm": (0.7, clipped_together),
    "clipvalue": (0.1, lambda gradients, v: [np.clip(g, -v, v) for g in gradients]),
}
WRAPPERS = {
    "bare": lambda optimizer: optimizer,
    "loss scale": keras.optimizers.LossScaleOptimizer,
    "multi": lambda optimizer: keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(optimizer)
    ),
}
SHAPES = (6, 4), (5,)


def steps(number=6):
    """Two weights and their gradients; of the first, some rows have none."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(shape).astype("float32") for shape in SHAPES]
    gradients = [
        [(0.3 * rng.standard_normal(shape)).astype("float32") for shape in SHAPES]
        for _ in range(number)
    ]
    for step, (of_rows, _) in enumerate(gradients):
        of_rows[step % 3 :: 3] = 0.0
    return weights, gradients


def sliced(gradient):
    """The same gradient as TensorFlow has it of an `Embedding`: rows, one of them in two parts."""
    import tensorflow as tf

    (rows,) = np.nonzero(gradient.any(axis=-1))
    values = np.concatenate([gradient[rows], 0.25 * gradient[rows[:1]]])
    values[0] *= 0.75
    shape = tf.constant(gradient.shape, "int64")
    return tf.IndexedSlices(tf.constant(values), tf.constant([*rows, rows[0]]), shape)


@pytest.mark.parametrize("sparse", [False, True] if BACKEND == "tensorflow" else [False])
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("option", [*CLIPPING, "gradient_accumulation_steps", "use_ema", "none"])
def test_in_what_keras_wraps_around_it(option, wrapper, sparse):
    weights, gradients = steps()
    value, clip = CLIPPING.get(option, (None, lambda gradients, _: gradients))
    if option == "gradient_accumulation_steps":
        value = 2
    elif option == "use_ema":
        value = True
    options = {} if option == "none" else {option: value}
    inner = T5Adafactor(0.05, min_dim_size_to_factor=2, **options)
    optimizer = WRAPPERS[wrapper](inner)
    variables = [keras.Variable(weight) for weight in weights]
    optimizer.build(variables)
    means = None
    for step in gradients:
        scale = float(optimizer.scale_loss(1.0))
        tensors = [keras.ops.convert_to_tensor(scale * g) for g in step]
        if sparse:
            tensors[0] = sliced(np.float32(scale) * step[0])
        apply(optimizer, variables, tensors)
        now = [array(v).astype("float64") for v in variables]
        before = now if means is None else means
        means = [0.99 * mean + 0.01 * n for mean, n in zip(before, now, strict=True)]
    if option == "gradient_accumulation_steps":
        pairs = zip(gradients[::2], gradients[1::2], strict=True)
        gradients = [[(a + b) / 2 for a, b in zip(*pair, strict=True)] for pair in pairs]
    gradients = [clip(step, value) for step in gradients]
    for i, (variable, weight) in enumerate(zip(variables, weights, strict=True)):
        of_weight = [step[i] for step in gradients]
        expected = by_definition(weight, of_weight, [0.05] * len(of_weight), weight.ndim == 2)
        np.testing.assert_allclose(array(variable), expected, rtol=2e-5, atol=1e-6)
    if option == "use_ema":
        optimizer.finalize_variable_values(variables)
        for variable, mean in zip(variables, means, strict=True):
            np.testing.assert_allclose(array(variable), mean, rtol=2e-5, atol=1e-6)


def test_a_step_whose_gradients_overflow_changes_nothing():
    weights, gradients = steps(1)
    optimizer = keras.optimizers.LossScaleOptimizer(T5Adafactor(0.05))
    variables = [keras.Variable(weight) for weight in weights]
    optimizer.build(variables)
    gradients[0][0][1, 1] = np.inf
    apply(optimizer, variables, [keras.ops.convert_to_tensor(g) for g in gradients[0]])
    np.testing.assert_array_equal(array(variables[1]), weights[1])
    assert int(optimizer.iterations) == 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    """Gradients whose squares are nothing in float16, or beyond it, move weights as they should."""
    weights, gradients = steps()
    gradients = [[1e-6 * of_rows, 1e4 * other] for of_rows, other in gradients]
    optimizer = T5Adafactor(0.05, min_dim_size_to_factor=2)
    variables = [keras.Variable(weight, dtype=dtype) for weight in weights]
    optimizer.build(variables)
    starts = [array(keras.ops.cast(v, "float32")) for v in variables]
    rounded = [[keras.ops.cast(g, dtype) for g in step] for step in gradients]
    for step in rounded:
        apply(optimizer, variables, step)
    precision = {"float16": 2**-11, "bfloat16": 2**-8}[dtype]
    for i, (variable, start) in enumerate(zip(variables, starts, strict=True)):
        of_weight = [array(keras.ops.cast(step[i], "float32")) for step in rounded]
        expected = by_definition(start, of_weight, [0.05] * 6, start.ndim == 2)
        # Each of the steps rounds the weight.
        actual = array(keras.ops.cast(variable, "float32"))
        np.testing.assert_allclose(actual, expected, atol=6 * 4 * precision)
        assert np.abs(expected - start).max() > 0.1


def test_relative_step():
    """A number is capped by the step's inverse square root where Keras' argument says so."""
    weights, gradients = steps()
    variable = keras.Variable(weights[1])
    optimizer = T5Adafactor(0.6, relative_step=True)
    optimizer.build([variable])
    for _, gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)])
    rates = [min(0.6, step**-0.5) for step in range(1, 7)]
    expected = by_definition(weights[1], [g for _, g in gradients], rates, factored=False)
    np.testing.assert_allclose(array(variable), expected, rtol=2e-5, atol=1e-6)


def test_an_embedding_trains_as_the_matrix_it_is():
    """`fit` through a lookup and through a product with one-hot vectors, with clipping."""
    ids = np.random.default_rng(0).integers(0, 7, (24, 3))
    targets = ids.sum(axis=1, keepdims=True).astype("float32")
    losses = []
    for layer in (
        keras.layers.Embedding(7, 4, embeddings_initializer="ones"),
        keras.layers.Dense(4, use_bias=False, kernel_initializer="ones"),
    ):
        x = ids if isinstance(layer, keras.layers.Embedding) else np.eye(7, dtype="float32")[ids]
        model = keras.Sequential([layer, keras.layers.Flatten(), keras.layers.Dense(1, "relu")])
        model.build(x.shape)
        model.layers[-1].kernel.assign(np.linspace(0, 1, 12)[:, None])
        model.compile(T5Adafactor(0.3, min_dim_size_to_factor=2, clipnorm=0.1), "mse")
        losses.append(model.fit(x, targets, 8, epochs=2, shuffle=False, verbose=0).history["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0][1] < 0.9 * losses[0][0]
