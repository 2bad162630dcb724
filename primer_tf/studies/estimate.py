"""A number with its 95% interval."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
# A larger end of an interval says no more.
LARGEST = 1000


@dataclass(frozen=True)
class Estimate:
    """A number that was estimated from runs.

    Attributes:
        value: The number.
        low: Lower end of its 95% interval, or `None` if the runs do not tell, as a single seed.
        high: Upper end of the interval, or `None`.

    Example:

    >>> from primer_tf.studies.estimate import Estimate
    >>> print(Estimate(1.75, 1.6, 1.9))
    1.75 (1.60 to 1.90)
    """

    value: float
    low: float | None = None
    high: float | None = None

    def format(self, digits: int = 2) -> str:
        """Returns the number and its interval as text."""
        text = f"{self.value:.{digits}f}"
        if self.low is None or self.high is None:
            return f"{text} (no interval)"
        high = f"{self.high:.{digits}f}" if self.high <= LARGEST else f"over {LARGEST}"
        return f"{text} ({self.low:.{digits}f} to {high})"

    def __str__(self) -> str:
        return self.format()

    def to_dict(self) -> dict[str, Any]:
        """Returns the three numbers for JSON, with `None` for what is not finite."""
        values = {"value": self.value, "low": self.low, "high": self.high}
        return {k: v if v is not None and math.isfinite(v) else None for k, v in values.items()}


def t_interval(value: float, deviation: float, freedom: float) -> Estimate:
    """Returns an estimate with Student's interval.

    Args:
        value: The estimate.
        deviation: Its standard error.
        freedom: Degrees of freedom of the standard error.
    """
    half = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * deviation
    return Estimate(float(value), float(value - half), float(value + half))


def log_t_interval(log_value: float, deviation: float, freedom: float) -> Estimate:
    """Returns the estimate of a positive number whose logarithm has Student's interval.

    Args:
        log_value: Logarithm of the estimate.
        deviation: Standard error of the logarithm.
        freedom: Degrees of freedom of the standard error.
    """
    log = t_interval(log_value, deviation, freedom)
    ends = np.exp(np.clip(np.array([log.low, log.high], float), -700, 700))
    return Estimate(math.exp(log_value), *ends.tolist())
