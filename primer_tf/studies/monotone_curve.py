"""A learning curve that falls with every step."""

import math

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import isotonic_regression


class MonotoneCurve:
    """A learning curve smoothed by isotonic regression, and its inverse.

    The smoothed curve is the falling one with the least squared distance to the losses. Where it is
    flat, noise has hidden the progress: a flat stretch stands for one point, at the middle of its
    logarithms of compute. Between points a monotone cubic interpolates, in the logarithm of
    compute.

    Args:
        compute: `[P]` positive increasing numbers: FLOPs, steps or seconds.
        losses: `[P]` losses.

    Attributes:
        final: The last loss of the smoothed curve.

    Example:

    >>> import numpy as np
    >>> from primer_tf.studies.monotone_curve import MonotoneCurve
    >>> steps = np.arange(1, 101)
    >>> round(MonotoneCurve(steps, 8 * steps**-0.5).compute_for(1.0), 1)
    64.0
    """

    def __init__(self, compute: np.typing.ArrayLike, losses: np.typing.ArrayLike) -> None:
        log_compute = np.log(np.asarray(compute, float))
        fit = isotonic_regression(np.asarray(losses, float), increasing=False)
        starts = fit.blocks[:-1]
        lengths = np.diff(fit.blocks)
        self._log_compute = np.add.reduceat(log_compute, starts) / lengths
        self._losses = fit.x[starts]
        self.final = float(self._losses[-1])

    def compute_for(self, loss: float) -> float | None:
        """Returns the compute after which the curve reaches a loss, or `None` if it does not.

        A loss that was reached before the first point counts as reached there.
        """
        if loss < self.final:
            return None
        if len(self._losses) == 1 or loss >= self._losses[0]:
            return math.exp(self._log_compute[0])
        inverse = PchipInterpolator(self._losses[::-1], self._log_compute[::-1])
        return math.exp(float(inverse(loss)))
