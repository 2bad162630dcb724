"""The p-value of "this model is at least as good", as records of training speed state it."""

from collections.abc import Sequence

import numpy as np
from scipy import stats


def p_value(
    losses: Sequence[float] | np.ndarray, target: float | Sequence[float] | np.ndarray
) -> float | None:
    """Returns the p-value of a mean loss at or below a target.

    It is that of a one-sided t test against "the mean loss is above the target": of one sample
    against a number, or Welch's against the losses of a baseline that was run as well.

    Args:
        losses: The losses of a model, one for each seed.
        target: A loss, or the losses of the baseline, one for each of its seeds.

    Returns:
        The p-value, or `None` with a single seed.

    Example:

    >>> from primer_tf.studies.significance import p_value
    >>> p_value([3.27, 3.28, 3.26], 3.30) < 0.05
    True
    """
    samples = [np.asarray(losses, float)]
    if np.ndim(target):
        samples.append(np.asarray(target, float))
    if min(map(len, samples)) < 2:
        return None
    means = [sample.mean() for sample in samples]
    goal = means[1] if len(samples) == 2 else float(target)  # type: ignore[arg-type]
    if all(np.ptp(sample) == 0 for sample in samples):
        return 0.0 if means[0] < goal else 1.0 if means[0] > goal else 0.5
    if len(samples) == 1:
        return float(stats.ttest_1samp(samples[0], goal, alternative="less").pvalue)
    return float(stats.ttest_ind(*samples, equal_var=False, alternative="less").pvalue)
