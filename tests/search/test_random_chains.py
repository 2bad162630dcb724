"""Every program that is accepted runs, is causal, and has the inferred shape and size."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.programs import infer_graph
from primer_tf.programs.program_layer import ProgramLayer
from tests.search.chains import HIDDEN_DIM, random_programs

LENGTH, CHANGED = 6, 4
# What one operation on a few numbers cannot be worth.
LARGEST = 3_000_000


def check(count, seed):
    """Computes in float64: a few programs make 400 times as much of a rounding error."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((1, LENGTH, HIDDEN_DIM))
    changed = x.copy()
    changed[:, CHANGED:] = random.standard_normal((1, LENGTH - CHANGED, HIDDEN_DIM))
    both = np.concatenate([x, changed])
    reasons, causal = [], 0
    for _, program in random_programs(count, seed, reasons):
        graph = infer_graph(program, HIDDEN_DIM)
        if graph.num_parameters > LARGEST:
            continue
        layer = ProgramLayer(program, dtype="float64")
        layer.build((None, None, HIDDEN_DIM))
        assert layer.count_params() == graph.num_parameters
        assert layer.num_heads == graph.num_heads
        bias = random.standard_normal((graph.num_heads or 1, LENGTH, LENGTH))
        y = ops.convert_to_numpy(layer(both, position_bias=bias))
        assert (y.shape, y.dtype) == (both.shape, np.float64)
        keras.utils.clear_session(free_memory=False)
        if np.isfinite(y).all():
            causal += 1
            scale = np.abs(y[0]).max()
            np.testing.assert_allclose(y[1, :CHANGED], y[0, :CHANGED], rtol=0, atol=1e-9 * scale)
    assert causal > 0.5 * count
    assert reasons and all(reasons)


def test_a_hundred_programs():
    check(100, seed=0)


@pytest.mark.slow
def test_ten_thousand_programs():
    for seed in range(1, 11):
        check(1000, seed)
