"""The speedup factor of the Primer paper, with an interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from primer_tf.studies.estimate import Estimate, log_t_interval
from primer_tf.studies.monotone_curve import MonotoneCurve

REPLICATES = 500


@dataclass(frozen=True)
class Curves:
    """The learning curves of one model with several seeds.

    Attributes:
        compute: `[P]`, FLOPs, steps or seconds at which the loss was measured.
        losses: `[S, P]`, validation losses; a row for each seed.
    """

    compute: np.ndarray
    losses: np.ndarray

    def mean(self, seeds: Sequence[int] | np.ndarray | None = None) -> MonotoneCurve:
        """Returns the smoothed mean curve of some seeds, by default of all."""
        losses = self.losses if seeds is None else self.losses[seeds]
        return MonotoneCurve(self.compute, losses.mean(axis=0))


@dataclass(frozen=True)
class Speedup:
    """A speedup factor.

    Attributes:
        factor: The `Estimate`, or `None` if the model did not reach the baseline's final loss.
        bound: What the factor is below in that case: the baseline's compute divided by all the
            compute the model has used.
        target: The loss, which is the baseline's final one.
    """

    factor: Estimate | None
    bound: float
    target: float

    def __str__(self) -> str:
        if self.factor is None:
            return f"did not reach {self.target:.4f} (below {self.bound:.2f})"
        return str(self.factor)


def relative_speed(
    baseline: Curves, model: Curves, ratio_error: float = 0.0, seed: int = 0
) -> Estimate:
    """Returns how many times less compute a model needs than the baseline for the same loss.

    The loss is the final one of whichever ends higher, so that both reach it, on the mean of the
    seeds' smoothed curves.

    The interval is from a bootstrap over the seeds of both models: the points of one curve are not
    independent. Resampling `S` seeds understates the variance by `(S - 1) / S`, so it is corrected,
    and the quantiles are Student's, with Welch's degrees of freedom.

    Args:
        baseline: Its `Curves`.
        model: The `Curves` of the model, in the same unit of compute.
        ratio_error: Standard error of the logarithm of the ratio of the two models' costs of a
            step, if it was measured. Defaults to 0.
        seed: Seed of the bootstrap. Defaults to 0.

    Returns:
        An `Estimate`, above 1 if the model learns faster. With one seed of either model it has no
        interval.
    """
    means = baseline.mean(), model.mean()
    factor = _log_factor(*means)
    sizes = [len(curves.losses) for curves in (baseline, model)]
    if min(sizes) < 2:
        return Estimate(math.exp(factor))
    generator = np.random.default_rng(seed)
    variances = []
    for resampled, size in enumerate(sizes):
        # With few seeds many samples are the same.
        samples = np.sort(generator.integers(size, size=(REPLICATES, size)), axis=1)
        samples, counts = np.unique(samples, axis=0, return_counts=True)
        if resampled == 0:
            pairs = [(baseline.mean(sample), means[1]) for sample in samples]
        else:
            pairs = [(means[0], model.mean(sample)) for sample in samples]
        factors = np.array([_log_factor(*pair) for pair in pairs])
        mean = np.average(factors, weights=counts)
        variance = np.average((factors - mean) ** 2, weights=counts)
        variances.append(variance * size / (size - 1))
    total = sum(variances)
    terms = (variance**2 / (size - 1) for variance, size in zip(variances, sizes, strict=True))
    freedom = total**2 / sum(terms) if total else math.inf
    return log_t_interval(factor, math.sqrt(total + ratio_error**2), freedom)


def _log_factor(baseline: MonotoneCurve, model: MonotoneCurve) -> float:
    target = max(baseline.final, model.final)
    needed, own = (curve.compute_for(target) for curve in (baseline, model))
    assert needed is not None and own is not None
    return math.log(needed / own)


def speedup_factor(
    baseline: Curves, model: Curves, ratio_error: float = 0.0, seed: int = 0
) -> Speedup:
    """Returns the speedup factor of the Primer paper, section 4.2.

    It is the compute with which the baseline reaches its own final loss, divided by the compute
    with which the model reaches that loss. This is `relative_speed`, with the same intervals,
    unless the model ends above the baseline's final loss.

    Args:
        baseline: Its `Curves`.
        model: The `Curves` of the model, in the same unit of compute.
        ratio_error: As for `relative_speed`. Defaults to 0.
        seed: Seed of the bootstrap. Defaults to 0.

    Returns:
        A `Speedup`.

    Example:

    >>> import numpy as np
    >>> from primer_tf.studies.speedup import Curves, speedup_factor
    >>> steps = np.arange(10, 1001, 10)
    >>> slow = Curves(steps, 9 * steps[None] ** -0.1)
    >>> fast = Curves(steps, 9 * (2 * steps[None]) ** -0.1)
    >>> print(speedup_factor(slow, fast).factor)
    2.00 (no interval)
    """
    whole = baseline.mean()
    needed = whole.compute_for(whole.final)
    assert needed is not None  # It reaches its own final loss.
    bound = needed / float(model.compute[-1])
    reached = model.mean().final <= whole.final
    factor = relative_speed(baseline, model, ratio_error, seed) if reached else None
    return Speedup(factor, bound, whole.final)
