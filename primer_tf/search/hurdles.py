"""Hurdles: evaluations at which unpromising individuals end (Primer, appendix A.2)."""

import statistics
from collections.abc import Sequence

# Below so many losses the median says too little, and everyone passes.
LEAST = 8


def band_ends(hurdles: int) -> list[float]:
    """Returns the shares of the training at which the bands end, the last of which is 1.

    Each band is twice as long as the one before, and half of the individuals reach it, so that all
    bands take the same expected compute.

    Args:
        hurdles: Number of hurdles, one fewer than bands.

    Returns:
        List of `hurdles + 1` numbers.

    Example:

    >>> from primer_tf.search.hurdles import band_ends
    >>> [round(end, 3) for end in band_ends(2)]
    [0.143, 0.429, 1.0]
    """
    whole = 2 ** (hurdles + 1) - 1
    return [(2 ** (band + 1) - 1) / whole for band in range(hurdles + 1)]


def thresholds(losses: Sequence[Sequence[float]], hurdles: int) -> list[float | None]:
    """Returns the loss that an individual must stay below at each hurdle.

    Args:
        losses: For each earlier individual, its losses at the hurdles that it came to.
        hurdles: Number of hurdles.

    Returns:
        For each hurdle the median of the losses there, or `None` while there are too few.
    """
    result: list[float | None] = []
    for hurdle in range(hurdles):
        there = [each[hurdle] for each in losses if len(each) > hurdle]
        result.append(statistics.median(there) if len(there) >= LEAST else None)
    return result
