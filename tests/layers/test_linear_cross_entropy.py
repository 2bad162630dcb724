"""The loss that never stores all logits at once equals NumPy's in float64."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.losses import linear_cross_entropy as module
from primer_tf.losses.linear_cross_entropy import linear_cross_entropy, token_losses
from tests.layers.helpers import numpy, value_and_gradients

TOKENS, CHANNELS, VOCABULARY = 11, 6, 13
RNG = np.random.default_rng(0)
HIDDEN = RNG.standard_normal((TOKENS, CHANNELS))
TABLE = 2.0 * RNG.standard_normal((VOCABULARY, CHANNELS))
TARGETS = RNG.integers(0, VOCABULARY, TOKENS).astype("int32")
WEIGHTS = np.array([1, 1, 0, 2, 1, 0.5, 1, 0, 1, 1, 1])


def by_definition(hidden, table, z_loss, label_smoothing):
    logits = hidden @ table.T
    log_z = np.log(np.exp(logits).sum(-1))
    distribution = (
        np.eye(VOCABULARY)[TARGETS] * (1 - label_smoothing) + label_smoothing / VOCABULARY
    )
    losses = -(distribution * (logits - log_z[:, None])).sum(-1) + z_loss * log_z**2
    return losses, logits.argmax(-1) == TARGETS


@pytest.fixture(params=[10**9, 4 * VOCABULARY, 1])
def chunk(request, monkeypatch):
    """All tokens at once; three chunks, the last one not full; one chunk per token."""
    monkeypatch.setattr(module, "CHUNK_ELEMENTS", request.param)


@pytest.mark.parametrize("z_loss, label_smoothing", [(0.0, 0.0), (0.1, 0.0), (0.1, 0.2)])
@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("float64", 1e-12)])
def test_loss_and_gradients(chunk, z_loss, label_smoothing, dtype, tolerance):
    if dtype == "float64" and keras.backend.backend() == "jax":
        import jax

        context = jax.enable_x64(True)
    else:
        import contextlib

        context = contextlib.nullcontext()
    with context:
        variables = [
            keras.Variable(value, dtype=dtype, name=name)
            for name, value in (("hidden", HIDDEN), ("table", TABLE))
        ]
        weights = ops.convert_to_tensor(WEIGHTS.astype(dtype))
        kwargs = {"z_loss": z_loss, "label_smoothing": label_smoothing}

        targets = ops.convert_to_tensor(TARGETS)

        def sums():
            hidden, table = variables
            return linear_cross_entropy(1.0 * hidden, table.value, targets, weights, **kwargs)

        def mean_loss():
            return sums()[0] / ops.sum(weights)

        value, gradients = value_and_gradients(mean_loss, variables)
        losses, correct = token_losses(
            lambda x: ops.einsum("nc,vc->nv", x, variables[1].value),
            variables[0].value,
            targets,
            VOCABULARY,
            **kwargs,
        )
        totals = sums()
        totals, losses, correct = map(numpy, (totals, losses, correct))

    def reference(hidden, table):
        return (by_definition(hidden, table, **kwargs)[0] * WEIGHTS).sum() / WEIGHTS.sum()

    expected_losses, expected_correct = by_definition(HIDDEN, TABLE, **kwargs)
    assert value == pytest.approx(reference(HIDDEN, TABLE), rel=tolerance)
    assert totals[1] == pytest.approx((expected_correct * WEIGHTS).sum())
    np.testing.assert_allclose(losses, expected_losses, rtol=10 * tolerance)
    np.testing.assert_array_equal(correct, expected_correct)
    arrays = [HIDDEN, TABLE]
    for which, gradient in enumerate(gradients):
        expected = np.empty_like(arrays[which])
        for index in np.ndindex(*expected.shape):
            sides = []
            for step in (1e-6, -1e-6):
                moved = [array.copy() for array in arrays]
                moved[which][index] += step
                sides.append(reference(*moved))
            expected[index] = (sides[0] - sides[1]) / 2e-6
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=max(1e-8, tolerance))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_labels_out_of_range(dtype):
    """The loss is NaN unless their weight is zero. Of equal logits the first one wins."""
    hidden, table = ops.zeros((4, 6), dtype), ops.convert_to_tensor(TABLE.astype("float32"))
    weights = ops.convert_to_tensor(np.array([1, 1, 0, 1], "float32"))
    for label in (-1, VOCABULARY):
        for at in (1, 2):
            targets = np.array([0, 5, 0, 0], "int32")
            targets[at] = label
            targets = ops.convert_to_tensor(targets)
            loss, correct = numpy(linear_cross_entropy(hidden, table, targets, weights))
            assert loss == pytest.approx(3 * np.log(VOCABULARY), nan_ok=True) or at == 1
            assert np.isnan(loss) == (at == 1)
            if dtype == "bfloat16":  # in float32 equal logits are too rare to be worth the time
                assert correct == 2
