"""Compute-optimal scaling: `l = a c^-k` for each architecture, and what one saves over another."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from primer_tf.errors import UserError
from primer_tf.studies.estimate import Estimate, log_t_interval, t_interval
from primer_tf.studies.scaling_surface import ScalingSurface

# Losses at which the frontiers of architectures are compared.
NUM_LOSSES = 33
# An infinite compute, in samples of the bootstrap.
LARGEST_LOG = 250.0


@dataclass(frozen=True)
class PowerLaw:
    """`l = a c^-k` along a compute-optimal frontier.

    Attributes:
        k: The exponent.
        a: The factor, for compute in FLOPs.
        deviation: Standard error of `k`.
        freedom: Degrees of freedom of the interval.
    """

    k: Estimate
    a: float
    deviation: float
    freedom: float


def power_law(surface: ScalingSurface, losses: np.ndarray) -> PowerLaw:
    """Returns the power law of a frontier over a range of losses.

    Args:
        surface: The fitted surface.
        losses: `[K]` falling losses.
    """
    log_losses, log_compute = np.log(losses), _log_compute(surface, losses)
    k = -1 / _slopes(log_losses, log_compute)
    deviation = float(k[1:].std())
    a = math.exp(log_losses.mean() + k[0] * log_compute[0].mean())
    return PowerLaw(t_interval(k[0], deviation, surface.freedom), a, deviation, surface.freedom)


def _log_compute(surface, losses):
    return np.minimum(surface.log_compute_for(losses), LARGEST_LOG)


def _slopes(x, y):
    """Returns the slopes of least-squares lines through the rows of `y`, `[R, K]`, over `x`."""
    centred = x - x.mean()
    return (y @ centred) / (centred @ centred)


@dataclass(frozen=True)
class Savings:
    """How much less compute a model needs than the baseline for the same loss.

    Attributes:
        constant: The factor `b`: the mean over the losses, in logarithms. It is all there is to say
            if the exponents are the same (Primer, section 4.3).
        at: The factor at the least, the middle and the most compute of the baseline, by its FLOPs.
        growth: Exponent with which the factor grows with the baseline's compute; 0 if the exponents
            are the same.
    """

    constant: Estimate
    at: dict[float, Estimate]
    growth: Estimate


@dataclass(frozen=True)
class ScalingLaws:
    """The power laws of several architectures over the losses that all of them reach.

    They are compared at the same losses, not at the same compute: frontiers bend, so a frontier
    that is shifted by a constant factor has another slope at the same compute.

    Attributes:
        compute: The range of the baseline's compute for these losses, in FLOPs.
        laws: The `PowerLaw` of each architecture.
        k: The common exponent.
        equality: p-value of a test whether the exponents are the same, `None` for one architecture.
            A small one says that no single factor `b` describes the savings.
        savings: The `Savings` of each architecture but the baseline.
    """

    compute: tuple[float, float]
    laws: dict[str, PowerLaw]
    k: Estimate
    equality: float | None
    savings: dict[str, Savings]


def scaling_laws(surfaces: Mapping[str, ScalingSurface], baseline: str) -> ScalingLaws:
    """Compares the compute-optimal frontiers of architectures.

    Args:
        surfaces: The fitted surface of each architecture.
        baseline: The architecture with which the others are compared.

    Returns:
        `ScalingLaws`.

    Raises:
        UserError: The architectures reach no losses in common.
    """
    losses = _common_losses(surfaces)
    laws = {name: power_law(surface, losses) for name, surface in surfaces.items()}
    freedom = min(law.freedom for law in laws.values())
    precisions = np.array([max(law.deviation, 1e-12) for law in laws.values()]) ** -2
    exponents = np.array([law.k.value for law in laws.values()])
    common = float(precisions @ exponents / precisions.sum())
    equality = None
    if len(laws) > 1:  # Cochran's Q, with the F distribution because deviations are estimates.
        q = precisions @ (exponents - common) ** 2 / (len(laws) - 1)
        equality = float(stats.f.sf(q, len(laws) - 1, freedom))
    base = _log_compute(surfaces[baseline], losses)
    savings = {
        name: _savings(base, _log_compute(surface, losses), freedom)
        for name, surface in surfaces.items()
        if name != baseline
    }
    compute = math.exp(base[0, 0]), math.exp(base[0, -1])
    k = t_interval(common, precisions.sum() ** -0.5, freedom)
    return ScalingLaws(compute, laws, k, equality, savings)


def _common_losses(surfaces):
    """Returns falling losses that all frontiers reach within the compute of their points."""
    ends = [s.log_frontier(np.log(s.compute_range))[0] for s in surfaces.values()]
    highest, lowest = min(start for start, _ in ends), max(end for _, end in ends)
    if lowest >= highest:
        raise UserError(
            f"{', '.join(surfaces)} reach no losses in common; train them on similar budgets."
        )
    return np.exp(np.linspace(highest, lowest, NUM_LOSSES))


def _savings(base, own, freedom):
    """Returns the `Savings`, given both models' logarithms of compute, `[1 + R, K]`."""
    replicates = min(len(base), len(own))
    factors = base[:replicates] - own[:replicates]
    growth = _slopes(base[0], factors)
    at = {
        math.exp(base[0, place]): _log_estimate(factors[:, place], freedom)
        for place in (0, NUM_LOSSES // 2, NUM_LOSSES - 1)
    }
    return Savings(
        _log_estimate(factors.mean(axis=1), freedom),
        at,
        t_interval(growth[0], growth[1:].std(), freedom),
    )


def _log_estimate(samples, freedom):
    return log_t_interval(samples[0], samples[1:].std(), freedom)


def compute_for(surface: ScalingSurface, loss: float) -> Estimate | None:
    """Returns the compute that a loss needs at the best size, in FLOPs.

    Beyond the measured compute this is an extrapolation.

    Args:
        surface: The fitted surface.
        loss: A loss in nats per token.

    Returns:
        An `Estimate`, whose upper end is infinite where some bootstrap samples never reach the
        loss; `None` if the fit itself does not.
    """
    samples = surface.log_compute_for(np.array([loss]))[:, 0]
    if not np.isfinite(samples[0]):
        return None
    low, high = np.quantile(samples[1:], (0.025, 0.975), method="nearest")
    return Estimate(*(float(np.exp(x)) for x in (samples[0], low, high)))
