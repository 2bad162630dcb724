"""The loss as a function of model size and training tokens."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from primer_tf.errors import UserError
from primer_tf.studies import surface_fit
from primer_tf.studies.surface_fit import NUM_PARAMETERS, log_loss

LEAST_SIZES = 3
LEAST_BUDGETS = 3
REPLICATES = 300
# Starts of the fit: exponents of sizes and of tokens, and shares of the lowest loss that no model
# can reduce.
STARTS = tuple(itertools.product((0.05, 0.2, 0.6), (0.05, 0.2, 0.6), (0.02, 0.4, 0.85)))
# Huber's constant, in units of the residuals' scale: 95% as efficient as least squares on normal
# noise.
HUBER = 1.345


@dataclass(frozen=True)
class ScalingPoints:
    """The losses of one architecture over a grid of sizes and training lengths.

    Attributes:
        sizes: `[P]`, FLOPs for a token in training divided by 6. This is near the number of
            parameters, and makes the compute exactly `6 N D`, whatever the architecture costs.
        tokens: `[P]`, training tokens.
        losses: `[P]`, validation losses in nats per token.
        runs: `[P]`, which run each point is of, as integers. Points of one run are not independent.
    """

    sizes: np.ndarray
    tokens: np.ndarray
    losses: np.ndarray
    runs: np.ndarray

    @property
    def compute(self) -> np.ndarray:
        """`[P]`, training FLOPs."""
        return 6 * self.sizes * self.tokens


class ScalingSurface:
    """`L(N, D) = E + A N^-alpha + B D^-beta`, fitted to the losses of one architecture.

    The whole surface is fitted (Hoffmann et al. 2022, section 3.3, approach 3): parabolas through
    slices of equal compute are biased even without noise (arXiv 2603.22339). The fit minimizes
    Huber's loss of the logarithms' residuals from many starts.

    For intervals the fit is repeated on samples in which the residuals of a run change their sign
    together (the wild cluster bootstrap), because points of one run are not independent.

    Args:
        points: The `ScalingPoints`.
        name: What errors call the architecture. Defaults to `"the model"`.
        replicates: Number of bootstrap samples. Defaults to 300.
        seed: Seed of the bootstrap. Defaults to 0.

    Attributes:
        points: The `ScalingPoints`.
        parameters: `[1 + R, 5]`, the logarithms of `E`, `A`, `alpha`, `B` and `beta`: of the fit
            and then of each sample. `A` and `B` belong to sizes and tokens relative to `center`.
        center: `[2]`, mean logarithms of sizes and tokens.
        residuals: `[P]`, the logarithm of each loss less that of the surface.
        freedom: Degrees of freedom of the intervals: runs less parameters.

    Raises:
        UserError: There are too few sizes, training lengths or points.

    Example:

    >>> import numpy as np
    >>> from primer_tf.studies.scaling_surface import ScalingPoints, ScalingSurface
    >>> sizes, tokens = np.meshgrid([1e6, 3e6, 1e7, 3e7], [1e7, 3e7, 1e8], indexing="ij")
    >>> losses = 20 * sizes**-0.2 + 40 * tokens**-0.2
    >>> points = ScalingPoints(sizes.ravel(), tokens.ravel(), losses.ravel(), np.arange(12))
    >>> surface = ScalingSurface(points)
    >>> round(float(np.exp(surface.parameters[0, 2])), 3)
    0.2
    """

    def __init__(
        self,
        points: ScalingPoints,
        name: str = "the model",
        replicates: int = REPLICATES,
        seed: int = 0,
    ) -> None:
        _check(points, name)
        self.points = points
        self.name = name
        logs = np.log([points.sizes, points.tokens])
        self.center = logs.mean(axis=1)
        self._n, self._d = logs - self.center[:, None]
        self._log_losses = np.log(points.losses)
        fit, self.delta = self._fit()
        self.residuals = self._log_losses - log_loss(fit, self._n, self._d)[0]
        runs, groups = np.unique(points.runs, return_inverse=True)
        self.freedom = max(1, len(runs) - NUM_PARAMETERS)
        signs = np.random.default_rng(seed).choice((-1.0, 1.0), size=(replicates, len(runs)))
        # Residuals are smaller than the noise, because the fit follows it.
        inflation = math.sqrt(len(runs) / self.freedom)
        noise = inflation * signs[:, groups] * self.residuals
        samples = self._log_losses - self.residuals + noise
        start = np.repeat(fit, replicates, axis=0)
        refits, _ = surface_fit.fit(start, self._n, self._d, samples, self.delta)
        self.parameters = np.concatenate([fit, refits])

    def _fit(self) -> tuple[np.ndarray, float]:
        """Returns the parameters, `[1, 5]`, and Huber's constant."""
        alpha, beta, share = np.array(STARTS).T
        y = np.exp(self._log_losses)
        reducible = np.log(np.maximum(y.mean() - share * y.min(), 1e-3 * y.mean()) / 2)
        irreducible = np.log(share * y.min())
        starts = np.stack([irreducible, reducible, np.log(alpha), reducible, np.log(beta)], axis=1)
        arguments = self._n, self._d, self._log_losses
        found, _ = surface_fit.fit(starts, *arguments, 1e-3, iterations=60)
        # The scale of the noise, from the fit that outliers move least.
        residuals = self._log_losses - log_loss(found, self._n, self._d)
        sizes = np.median(np.abs(residuals), axis=1)
        freedom = max(1, len(y) - NUM_PARAMETERS)
        scale = 1.4826 * sizes.min() * math.sqrt(len(y) / freedom)
        delta = max(HUBER * scale, 1e-9)
        found, objective = surface_fit.fit(found, *arguments, delta)
        return found[[np.argmin(objective)]], delta

    @property
    def compute_range(self) -> tuple[float, float]:
        """The least and the most compute of the points, in FLOPs."""
        return float(self.points.compute.min()), float(self.points.compute.max())

    def _frontier_terms(self, log_compute: np.ndarray):
        """Returns what the frontier is made of; see `log_frontier` and `optimal_log_size`."""
        e, a, alpha, b, beta = self.parameters.T[..., None]
        alpha, beta = np.exp(alpha), np.exp(beta)
        # Where 6 N D is the compute, the loss is least if alpha A N^-alpha = beta B D^-beta.
        total = log_compute - math.log(6) - self.center.sum()
        n = (np.log(alpha / beta) + a - b + beta * total) / (alpha + beta)
        return e, a - alpha * n, b - beta * (total - n), n

    def log_frontier(self, log_compute: np.ndarray) -> np.ndarray:
        """Returns the logarithm of the least loss at some compute, with the best size and tokens.

        Args:
            log_compute: `[K]`, the logarithm of training FLOPs.

        Returns:
            `[1 + R, K]`: of the fit and of each bootstrap sample.
        """
        terms = np.stack(np.broadcast_arrays(*self._frontier_terms(log_compute)[:3]))
        return np.logaddexp.reduce(terms, axis=0)

    def optimal_log_size(self, log_compute: np.ndarray) -> np.ndarray:
        """Returns the logarithm of the best size at some compute, `[1 + R, K]`."""
        return self._frontier_terms(log_compute)[3] + self.center[0]

    def log_compute_for(self, losses: np.ndarray) -> np.ndarray:
        """Returns the logarithm of the least compute for some losses, the inverse of the frontier.

        Args:
            losses: `[K]`, losses in nats per token.

        Returns:
            `[1 + R, K]`: of the fit and of each sample. It is infinite where the loss is below the
            irreducible one.
        """
        e, a, b, _ = self._frontier_terms(np.zeros(1))
        alpha, beta = np.exp(self.parameters[:, [2]]), np.exp(self.parameters[:, [4]])
        with np.errstate(divide="ignore"):
            reducible = np.log(np.maximum(losses - np.exp(e), 0))
        # Both terms fall as the same power of the compute.
        return (np.logaddexp(a, b) - reducible) * (alpha + beta) / (alpha * beta)

    def leave_one_size_out(self) -> dict[float, float]:
        """Returns how well the other sizes predict each size.

        Returns:
            A dict from size to the mean of the logarithms of measured over predicted losses. It is
            empty unless there are more than 3 sizes.
        """
        sizes = np.unique(self.points.sizes)
        if len(sizes) <= LEAST_SIZES:
            return {}
        own = self.points.sizes == sizes[:, None]
        start = np.repeat(self.parameters[:1], len(sizes), axis=0)
        arguments = self._n, self._d, self._log_losses
        found, _ = surface_fit.fit(start, *arguments, self.delta, weights=1.0 - own)
        errors = self._log_losses - log_loss(found, self._n, self._d)
        means = (errors * own).sum(axis=1) / own.sum(axis=1)
        return dict(zip(sizes.tolist(), means.tolist(), strict=True))


def _check(points: ScalingPoints, name: str) -> None:
    sizes, budgets = len(np.unique(points.sizes)), len(np.unique(points.tokens))
    runs = len(np.unique(points.runs))
    if sizes < LEAST_SIZES or budgets < LEAST_BUDGETS or len(points.losses) <= NUM_PARAMETERS + 2:
        raise UserError(
            f"{name}: a scaling law needs {LEAST_SIZES} sizes, {LEAST_BUDGETS} training lengths "
            f"and {NUM_PARAMETERS + 3} points; there are {sizes}, {budgets} and "
            f"{len(points.losses)}."
        )
    if runs < LEAST_SIZES:
        raise UserError(f"{name}: a scaling law needs {LEAST_SIZES} runs; there are {runs}.")
    if not (np.isfinite(points.losses).all() and (points.losses > 0).all()):
        raise UserError(f"{name}: a loss is not a positive number.")
