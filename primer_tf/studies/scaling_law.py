"""Compute-optimal scaling: `l = a c^-k` for each architecture, and what Primer saves."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from primer_tf.errors import UserError
from primer_tf.studies.estimate import Estimate, log_t_interval, t_interval
from primer_tf.studies.scaling_surface import ScalingSurface

# Points of the frontier through which a power law is drawn.
FRONTIER = 33


@dataclass(frozen=True)
class PowerLaw:
    """`l = a c^-k` along a compute-optimal frontier.

    Attributes:
        k: The exponent.
        coefficients: `[1 + R, 2]`: the logarithm of the loss in the middle of the range of compute
            and `k`, of the fit and of each bootstrap sample.
        middle: The logarithm of the compute in the middle of the range.
        freedom: Degrees of freedom of the intervals.
    """

    k: Estimate
    coefficients: np.ndarray
    middle: float
    freedom: float

    @property
    def a(self) -> float:
        """The factor `a`, for compute in FLOPs."""
        height, k = self.coefficients[0]
        return math.exp(height + k * self.middle)

    @property
    def deviation(self) -> float:
        """Standard error of `k`."""
        return float(self.coefficients[1:, 1].std())


def power_law(surface: ScalingSurface, compute: tuple[float, float]) -> PowerLaw:
    """Returns the power law of a frontier over a range of compute.

    Args:
        surface: The fitted surface.
        compute: The least and the most compute, in FLOPs.
    """
    log_compute = np.linspace(*np.log(compute), FRONTIER)
    middle = log_compute.mean()
    x = log_compute - middle
    heights = surface.log_frontier(log_compute)
    k = -(heights @ x) / (x @ x)
    coefficients = np.stack([heights.mean(axis=1), k], axis=1)
    estimate = t_interval(k[0], k[1:].std(), surface.freedom)
    return PowerLaw(estimate, coefficients, float(middle), surface.freedom)


@dataclass(frozen=True)
class Savings:
    """How much less compute a model needs than the baseline for the same loss.

    Attributes:
        constant: The factor `b`, if both exponents are the same (Primer, section 4.3).
        at: The factor at some compute of the baseline, by FLOPs, each model with its own exponent.
        growth: Exponent with which the factor grows with the baseline's compute; 0 if the exponents
            are the same.
    """

    constant: Estimate
    at: dict[float, Estimate]
    growth: Estimate


@dataclass(frozen=True)
class ScalingLaws:
    """The power laws of several architectures over the same range of compute.

    Attributes:
        compute: The range that all have points in, in FLOPs.
        laws: The `PowerLaw` of each architecture.
        k: The common exponent.
        equality: p-value of a test whether the exponents are the same. A small one says that they
            are not, so that no single factor `b` describes the savings.
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
        UserError: The architectures have no range of compute in common.
    """
    ranges = [surface.compute_range for surface in surfaces.values()]
    compute = max(low for low, _ in ranges), min(high for _, high in ranges)
    if compute[0] >= compute[1]:
        raise UserError(f"{', '.join(surfaces)} have no range of compute in common.")
    laws = {name: power_law(surface, compute) for name, surface in surfaces.items()}
    freedom = min(law.freedom for law in laws.values())
    deviations = np.array([max(law.deviation, 1e-12) for law in laws.values()])
    weights = deviations**-2 / (deviations**-2).sum()
    exponents = np.array([law.k.value for law in laws.values()])
    common = float(weights @ exponents)
    k = t_interval(common, (deviations**-2).sum() ** -0.5, freedom)
    equality = None
    if len(laws) > 1:  # Cochran's Q, with the F distribution because deviations are estimates.
        q = (((exponents - common) / deviations) ** 2).sum() / (len(laws) - 1)
        equality = float(stats.f.sf(q, len(laws) - 1, freedom))
    base = laws[baseline]
    savings = {
        name: _savings(base, law, compute, _common_exponents(laws, weights), freedom)
        for name, law in laws.items()
        if name != baseline
    }
    return ScalingLaws(compute, laws, k, equality, savings)


def _common_exponents(laws, weights):
    """Returns `[1 + R]`: the common exponent of the fits and of each sample."""
    replicates = min(len(law.coefficients) for law in laws.values())
    exponents = [law.coefficients[:replicates, 1] for law in laws.values()]
    return weights @ np.stack(exponents)


def _savings(base, law, compute, common, freedom):
    heights, exponents = (
        np.stack([each.coefficients[: len(common), i] for each in (base, law)]) for i in (0, 1)
    )
    constant = (heights[0] - heights[1]) / common
    low, high = np.log(compute)
    at = {}
    for log_compute in (low, (low + high) / 2, high):
        # The compute at which the model has the loss of the baseline.
        x = log_compute - base.middle
        own = (heights[1] - (heights[0] - exponents[0] * x)) / exponents[1]
        at[math.exp(log_compute)] = _log_estimate(x - own, freedom)
    growth = 1 - exponents[0] / exponents[1]
    return Savings(
        _log_estimate(constant, freedom),
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
    samples = surface.log_compute_for(loss)
    if not np.isfinite(samples[0]):
        return None
    low, high = np.quantile(samples[1:], (0.025, 0.975), method="nearest")
    return Estimate(*(float(np.exp(x)) for x in (samples[0], low, high)))
