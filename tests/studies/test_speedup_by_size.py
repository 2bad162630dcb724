"""The speedup at each size, on curves with known answers."""

import numpy as np
import pytest

from primer_tf.studies.speedup import Curves
from primer_tf.studies.speedup_by_size import speedup_by_size

FLOPS = {f"size{i}": np.geomspace(1e12, 1e13, 9) * 4.0**i for i in range(5)}


def curves(factor, noise=0.0, seed=0):
    """Returns curves whose compute counts `factor(end)` times, of two seeds."""
    generator = np.random.default_rng(seed)
    return {
        size: Curves(
            c, 9 * (factor(c[-1]) * c) ** -0.1 * np.exp(noise * generator.normal(size=(2, 1)))
        )
        for size, c in FLOPS.items()
    }


def test_a_factor_that_grows():
    found = speedup_by_size(curves(lambda c: 1.0), curves(lambda c: 1.5 * (c / 1e13) ** 0.05))
    assert list(found.at) == pytest.approx([1e13 * 4**i for i in range(5)])
    factors = [each.factor.value for each in found.at.values()]
    assert factors == pytest.approx([1.5 * 4 ** (0.05 * i) for i in range(5)], rel=0.01)
    assert found.growth.value == pytest.approx(0.05, abs=1e-3)


def test_the_interval_of_the_growth_holds_the_truth():
    held = 0
    for seed in range(200):
        base = curves(lambda c: 1.0, 0.002, seed)
        found = speedup_by_size(base, curves(lambda c: 1.5, 0.002, seed + 1000))
        held += found.growth.low <= 0 <= found.growth.high
    assert held >= 186


def test_sizes_that_do_not_reach_the_loss_are_left_out():
    slow = {"size0", "size1", "size2"}
    base, model = curves(lambda c: 1.0), curves(lambda c: 1.5)
    late = curves(lambda c: 0.7)
    found = speedup_by_size(base, {size: (late if size in slow else model)[size] for size in base})
    assert [each.factor is None for each in found.at.values()] == [True] * 3 + [False] * 2
    assert found.growth is None


def test_only_sizes_of_both_are_compared():
    model = curves(lambda c: 1.5)
    del model["size0"]
    assert len(speedup_by_size(curves(lambda c: 1.0), model).at) == 4
