"""The speedup factor on curves with known answers."""

import numpy as np
import pytest

from primer_tf.studies.monotone_curve import MonotoneCurve
from primer_tf.studies.significance import p_value
from primer_tf.studies.speedup import Curves, relative_speed, speedup_factor
from tests.studies.simulated import curves


def test_a_curve_inverts():
    steps = np.arange(10, 1001, 10)
    smooth = MonotoneCurve(steps, 5 * steps**-0.3)
    for step in (37, 500, 999):
        assert smooth.compute_for(5 * step**-0.3) == pytest.approx(step, rel=1e-3)
    assert smooth.compute_for(0.1) is None
    assert smooth.compute_for(100.0) == pytest.approx(10)


def test_noise_is_pooled_by_hand():
    # 3, 4 violates the order, so both become 3.5, at the geometric mean of 2 and 8.
    smooth = MonotoneCurve([1, 2, 8, 16], [5.0, 3.0, 4.0, 2.0])
    assert smooth.compute_for(3.5) == pytest.approx(4)
    assert smooth.final == 2.0


@pytest.mark.parametrize("speed", [2.0, 1.3, 0.8])
def test_a_known_speedup_is_found(speed):
    found = speedup_factor(curves(3), curves(3, speed))
    if speed < 1:
        # It ends before it is as good: its final loss is that of fewer of the baseline's steps.
        assert found.factor is None
        assert found.bound == pytest.approx(1)
        assert "did not reach" in str(found)
    else:
        assert found.factor.value == pytest.approx(speed, rel=0.01)


def test_a_slower_model_that_trains_longer():
    base, slow = curves(3), curves(3, 0.8)
    half = Curves(base.compute[:20], base.losses[:, :20])
    assert speedup_factor(half, slow).factor.value == pytest.approx(0.8, rel=0.01)


def test_relative_speed_is_symmetric():
    generator = np.random.default_rng(0)
    one, other = (curves(3, speed, 0.01, generator) for speed in (1.0, 0.7))
    forth, back = relative_speed(one, other), relative_speed(other, one)
    assert forth.value == pytest.approx(0.7, rel=0.1)
    assert 1 / forth.value == pytest.approx(back.value)
    assert 1 / forth.low == pytest.approx(back.high, rel=0.02)


def test_the_unit_of_compute_counts():
    base, model = curves(3), curves(3, 2.0)
    dearer = Curves(1.25 * model.compute, model.losses)
    assert speedup_factor(base, dearer).factor.value == pytest.approx(1.6, rel=0.01)


def coverage(speed, seeds, studies, noise=0.01):
    generator = np.random.default_rng(7)
    held = 0
    for _ in range(studies):
        base = curves(seeds, 1.0, noise, generator)
        factor = relative_speed(base, curves(seeds, speed, noise, generator))
        held += factor.low <= speed <= factor.high
    return held / studies


def test_intervals_of_equal_models_hold_1():
    assert coverage(1.0, seeds=3, studies=30) >= 0.9


def test_intervals_hold_the_true_speedup():
    assert coverage(2.0, seeds=3, studies=30) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("speed", [1.0, 2.0])
def test_coverage_of_many_studies(speed, seeds):
    assert coverage(speed, seeds, studies=300) >= 0.92


def test_one_seed_has_no_interval():
    factor = speedup_factor(curves(1), curves(3, 2.0)).factor
    assert factor.low is None
    assert "no interval" in str(factor)


def test_the_cost_of_a_step_widens_the_interval():
    generator = np.random.default_rng(0)
    base, model = (curves(3, speed, 0.01, generator) for speed in (1.0, 2.0))
    plain = speedup_factor(base, model).factor
    measured = speedup_factor(base, model, ratio_error=0.1).factor
    assert measured.low < plain.low < plain.high < measured.high


def test_p_values_are_those_of_a_t_test():
    # By hand: mean 1.9, deviation 0.1, t = -0.1 / (0.1 / sqrt 3) = -1.732, 2 degrees of freedom.
    assert p_value([1.8, 1.9, 2.0], 2.0) == pytest.approx(0.1127, abs=1e-4)
    assert p_value([1.8, 1.9, 2.0], [1.8, 1.9, 2.0]) == pytest.approx(0.5)
    assert p_value([1.0, 1.1], [2.0, 2.1]) < 0.02
    assert p_value([1.0], [2.0, 2.1]) is None
    assert p_value([1.0, 1.0], [2.0, 2.0]) == 0.0
    assert p_value([3.0, 3.0], 2.0) == 1.0
