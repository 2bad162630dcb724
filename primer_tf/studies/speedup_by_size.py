"""The speedup factor at each size of a grid, and whether it grows with the compute."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from primer_tf.studies.estimate import Estimate, t_interval
from primer_tf.studies.speedup import Curves, Speedup, speedup_factor

LEAST_SIZES = 3


@dataclass(frozen=True)
class SpeedupBySize:
    """The speedup factor of one model over a baseline of the same size.

    Attributes:
        at: A `Speedup` for each size, by the FLOPs of the baseline's longest run.
        growth: Exponent with which the factor grows with these FLOPs: the slope of a line through
            the logarithms, with Student's interval. `None` with fewer than 3 sizes that reached the
            baseline's loss.
    """

    at: dict[float, Speedup]
    growth: Estimate | None


def speedup_by_size(baseline: Mapping[str, Curves], model: Mapping[str, Curves]) -> SpeedupBySize:
    """Compares a model with the baseline, size by size (Primer, section 4.2).

    This needs no fitted surface: each size of the model is compared with the same size of the
    baseline.

    Args:
        baseline: Its `Curves` in FLOPs, by size.
        model: The `Curves` of the model in FLOPs, by size.

    Returns:
        A `SpeedupBySize` over the sizes that both have.

    Example:

    >>> import numpy as np
    >>> from primer_tf.studies.speedup import Curves
    >>> from primer_tf.studies.speedup_by_size import speedup_by_size
    >>> flops = {size: np.geomspace(1e12, 1e13, 9) * size for size in (1, 3, 10)}
    >>> slow = {size: Curves(c, 9 * c[None] ** -0.1) for size, c in flops.items()}
    >>> fast = {size: Curves(c, 9 * (1.5 * c[None]) ** -0.1) for size, c in flops.items()}
    >>> found = speedup_by_size(slow, fast)
    >>> [f"{each.factor.value:.2f}" for each in found.at.values()]
    ['1.50', '1.50', '1.50']
    """
    sizes = sorted(baseline.keys() & model.keys(), key=lambda size: baseline[size].compute[-1])
    at = {
        float(baseline[size].compute[-1]): speedup_factor(baseline[size], model[size])
        for size in sizes
    }
    reached = {c: each.factor.value for c, each in at.items() if each.factor is not None}
    growth = None
    if len(reached) >= LEAST_SIZES:
        line = stats.linregress(np.log(list(reached)), np.log(list(reached.values())))
        growth = t_interval(line.slope, line.stderr, len(reached) - 2)
    return SpeedupBySize(at, growth)
