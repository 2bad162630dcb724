"""Whether two models differ on a task, by their scores of the same questions.

The module needs the extra `[eval]`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

# Below it, a difference is called one.
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class PairedTest:
    """The difference of two models on a task.

    Attributes:
        difference: Mean score of the second model less that of the first.
        standard_error: The standard error of the difference, from the differences of the questions.
        p_value: The probability of such a difference, in either direction, between equal models.
        test: The name of the test.
    """

    difference: float
    standard_error: float
    p_value: float
    test: str

    @property
    def verdict(self) -> str:
        """Returns whether the second model is "better", "worse" or "equal", p < 0.05."""
        if self.p_value >= SIGNIFICANT:
            return "equal"
        return "better" if self.difference > 0 else "worse"


def paired_test(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """Tests two models on the same questions.

    McNemar's exact test (1947) compares answers that are right or wrong, and the paired t test
    other scores, such as F1. Both are recommended for language processing by Dror et al. 2018 (ACL,
    "The Hitchhiker's Guide to Testing Statistical Significance", section 3).

    Args:
        first: The score of each question by the first model.
        second: The same by the second, in the same order.

    Example:

    >>> from primer_tf.evaluation.paired_test import paired_test
    >>> paired_test([1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 0, 1, 1, 1, 1, 1]).p_value
    0.0625
    """
    one, other = np.asarray(first, "float64"), np.asarray(second, "float64")
    differences = other - one
    error = differences.std(ddof=1) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
    if np.isin(np.concatenate([one, other]), (0.0, 1.0)).all():
        gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
        p_value = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
        name = "McNemar's exact test"
    else:
        p_value = stats.ttest_rel(other, one).pvalue if differences.any() else 1.0
        name = "paired t test"
    return PairedTest(float(differences.mean()), float(error), float(p_value), name)
