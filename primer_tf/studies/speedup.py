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


def speedup_factor(
    baseline: Curves, model: Curves, ratio_error: float = 0.0, seed: int = 0
) -> Speedup:
    """Returns how many times less compute a model needs than the baseline.

    It is the compute with which the baseline reaches its own final loss, divided by the compute
    with which the model reaches that loss (Primer, section 4.2), on the mean of the seeds' smoothed
    curves.

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
        A `Speedup`. With one seed of either model it has no interval. If the model reaches the loss
        with all seeds but not with every sample of them, the interval starts at 0.

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
    target = whole.final
    needed = whole.compute_for(target)
    assert needed is not None  # It reaches its own final loss.
    bound = needed / float(model.compute[-1])
    reached = model.mean().compute_for(target)
    if reached is None:
        return Speedup(None, bound, target)
    factor = math.log(needed / reached)
    sizes = [len(curves.losses) for curves in (baseline, model)]
    if min(sizes) < 2:
        return Speedup(Estimate(math.exp(factor)), bound, target)

    generator = np.random.default_rng(seed)
    variances, missed = [], False
    for resampled, size in enumerate(sizes):
        factors = []
        # With few seeds many samples are the same.
        samples = np.sort(generator.integers(size, size=(REPLICATES, size)), axis=1)
        for sample, count in zip(*np.unique(samples, axis=0, return_counts=True), strict=True):
            reference = baseline.mean(sample) if resampled == 0 else whole
            start = reference.compute_for(reference.final)
            end = (model.mean(sample) if resampled else model.mean()).compute_for(reference.final)
            if end is None:
                missed = True
            else:
                factors += [math.log(start / end)] * count  # type: ignore[operator]
        variances.append(np.var(factors) * size / (size - 1))
    total = sum(variances)
    if total == 0:
        freedom = math.inf
    else:
        terms = (v**2 / (s - 1) for v, s in zip(variances, sizes, strict=True))
        freedom = total**2 / sum(terms)
    estimate = log_t_interval(factor, math.sqrt(total + ratio_error**2), freedom)
    if missed:
        estimate = Estimate(estimate.value, 0.0, estimate.high)
    return Speedup(estimate, bound, target)


def relative_speed(baseline: Curves, model: Curves, ratio_error: float = 0.0) -> Estimate:
    """Returns how fast a model learns relative to a baseline, also if it learns more slowly.

    Both are compared at the final loss of the one that ends higher, which both reach.

    Args:
        baseline: Its `Curves`.
        model: The `Curves` of the model, in the same unit of compute.
        ratio_error: As for `speedup_factor`. Defaults to 0.

    Returns:
        An `Estimate`, above 1 if the model learns faster.
    """
    factor = speedup_factor(baseline, model, ratio_error).factor
    if factor is not None:
        return factor
    inverse = speedup_factor(model, baseline, ratio_error).factor
    assert inverse is not None  # One of them ends at least as low as the other.
    if not inverse.known:
        return Estimate(1 / inverse.value)
    low = 1 / inverse.high if inverse.high else 0.0
    high = 1 / inverse.low if inverse.low else math.inf
    return Estimate(1 / inverse.value, low, high)
