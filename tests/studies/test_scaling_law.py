"""Scaling laws on simulated studies with known answers."""

import numpy as np
import pytest

from primer_tf.errors import UserError
from primer_tf.studies.scaling_law import compute_for, power_law, scaling_laws
from primer_tf.studies.scaling_surface import ScalingPoints, ScalingSurface
from tests.studies.simulated import SIZES, SURFACE, TOKENS, loss, points, true_exponent


def surfaces(generator, savings=1.8, **kwargs):
    return {
        "vanilla": ScalingSurface(points(generator, **kwargs)),
        "primer": ScalingSurface(points(generator, savings, **kwargs)),
    }


def test_without_noise_the_surface_is_found():
    surface = ScalingSurface(points(np.random.default_rng(0), noise=0.0))
    e, a, alpha, b, beta = np.exp(surface.parameters[0])
    n, d = np.exp(surface.center)
    found = (e, a * n**alpha, alpha, b * d**beta, beta)
    assert found == pytest.approx(SURFACE, rel=0.01)
    assert np.abs(surface.residuals).max() < 1e-5
    assert max(map(abs, surface.leave_one_size_out().values())) < 1e-3


def test_the_frontier_is_the_least_loss():
    surface = ScalingSurface(points(np.random.default_rng(0), noise=0.0))
    compute = 3e13
    sizes = np.geomspace(1e4, 1e9, 100001)
    losses = loss(sizes, compute / (6 * sizes))
    log_compute = np.log([compute])
    assert np.exp(surface.log_frontier(log_compute)[0, 0]) == pytest.approx(losses.min(), rel=1e-4)
    best = np.exp(surface.optimal_log_size(log_compute)[0, 0])
    assert best == pytest.approx(sizes[losses.argmin()], rel=0.02)
    assert compute_for(surface, losses.min()).value == pytest.approx(compute, rel=1e-2)
    assert compute_for(surface, 1.0) is None  # Below the irreducible loss.


def test_exponent_and_savings_without_noise():
    found = scaling_laws(surfaces(np.random.default_rng(0), noise=0.0), "vanilla")
    k = true_exponent(found.compute)
    assert found.laws["vanilla"].k.value == pytest.approx(k, rel=1e-3)
    assert found.laws["primer"].k.value == pytest.approx(k, rel=1e-3)
    savings = found.savings["primer"]
    assert savings.constant.value == pytest.approx(1.8, rel=1e-3)
    assert [b.value for b in savings.at.values()] == pytest.approx([1.8] * 3, rel=5e-3)
    assert savings.growth.value == pytest.approx(0, abs=1e-3)


def held(studies, seed=1):
    """Returns the shares of intervals that hold `k`, and `b`; and of tests that reject equality."""
    generator = np.random.default_rng(seed)
    exact = scaling_laws(surfaces(generator, noise=0.0), "vanilla")
    truth = {name: law.k.value for name, law in exact.laws.items()}
    k, b, rejected = [], [], []
    for _ in range(studies):
        found = scaling_laws(surfaces(generator), "vanilla")
        k += [law.k.low <= truth[name] <= law.k.high for name, law in found.laws.items()]
        constant = found.savings["primer"].constant
        b.append(constant.low <= 1.8 <= constant.high)
        rejected.append(found.equality < 0.05)
    return np.mean(k), np.mean(b), np.mean(rejected)


def test_intervals_hold_the_truth():
    k, b, rejected = held(studies=10)
    assert k >= 0.85 and b >= 0.8 and rejected <= 0.2


@pytest.mark.slow
def test_intervals_hold_the_truth_in_200_studies():
    k, b, rejected = held(studies=200)
    assert k >= 0.93 and b >= 0.93 and rejected <= 0.1


def test_different_exponents_are_told_apart():
    generator = np.random.default_rng(3)
    first = points(generator)
    second = points(generator)
    tilt = (second.compute / 1e13) ** -0.05
    second = ScalingPoints(second.sizes, second.tokens, second.losses * tilt, second.runs)
    found = scaling_laws(
        {"vanilla": ScalingSurface(first), "steeper": ScalingSurface(second)}, "vanilla"
    )
    assert found.equality < 0.01
    savings = found.savings["steeper"]
    assert savings.growth.low > 0
    factors = [estimate.value for estimate in savings.at.values()]
    assert factors == sorted(factors)


def test_an_outlier_hardly_counts():
    clean = points(np.random.default_rng(0), noise=0.002)
    losses = clean.losses.copy()
    losses[7] *= 1.3
    spoiled = ScalingPoints(clean.sizes, clean.tokens, losses, clean.runs)
    losses = np.linspace(3.4, 2.9, 9)
    ks = [power_law(ScalingSurface(p), losses).k.value for p in (clean, spoiled)]
    assert ks[0] == pytest.approx(ks[1], rel=0.05)


def test_too_few_points_are_refused():
    full = points(np.random.default_rng(0))

    def part(mask):
        return ScalingPoints(
            full.sizes[mask], full.tokens[mask], full.losses[mask], full.runs[mask]
        )

    with pytest.raises(UserError, match="3 sizes"):
        ScalingSurface(part(full.sizes < SIZES[2]), "primer")
    with pytest.raises(UserError, match="training lengths"):
        ScalingSurface(part(full.tokens < TOKENS[2]), "primer")
    nothing = ScalingPoints(full.sizes, full.tokens, full.losses * np.nan, full.runs)
    with pytest.raises(UserError, match="positive number"):
        ScalingSurface(nothing, "primer")


def test_losses_without_overlap_are_refused():
    first = points(np.random.default_rng(0))
    second = ScalingPoints(first.sizes, first.tokens, first.losses * 9, first.runs)
    both = {"a": ScalingSurface(first), "b": ScalingSurface(second)}
    with pytest.raises(UserError, match="no losses in common"):
        scaling_laws(both, "a")
