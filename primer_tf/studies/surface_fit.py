"""Fits of many loss surfaces at once."""

import numpy as np

NUM_PARAMETERS = 5
# Bounds of the logarithms of the exponents.
EXPONENTS = np.log((0.01, 3.0))


def log_loss(parameters: np.ndarray, n: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Returns the logarithm of `E + A N^-alpha + B D^-beta`.

    Args:
        parameters: `[R, 5]`: the logarithms of `E`, `A`, `alpha`, `B` and `beta`.
        n: `[P]` or `[R, P]`, the logarithm of `N`.
        d: `[P]` or `[R, P]`, the logarithm of `D`.

    Returns:
        `[R, P]`.
    """
    return _terms(parameters, n, d)[0]


def _terms(parameters, n, d):
    """Returns the logarithm of the loss, and the three terms' shares of the loss."""
    e, a, alpha, b, beta = np.moveaxis(parameters[..., None], 1, 0)
    logs = np.stack(np.broadcast_arrays(e, a - np.exp(alpha) * n, b - np.exp(beta) * d))
    largest = logs.max(axis=0)
    shares = np.exp(logs - largest)
    total = shares.sum(axis=0)
    return np.log(total) + largest, shares / total


def huber(residuals: np.ndarray, delta: float, weights: np.ndarray) -> np.ndarray:
    """Returns the weighted sum of Huber's loss over the last axis."""
    size = np.abs(residuals)
    losses = np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))
    return (weights * losses).sum(axis=-1)


def fit(
    parameters: np.ndarray,
    n: np.ndarray,
    d: np.ndarray,
    log_losses: np.ndarray,
    delta: float,
    weights: np.ndarray | None = None,
    iterations: int = 100,
) -> tuple[np.ndarray, np.ndarray]:
    """Minimizes Huber's loss of the residuals of `log_loss`, for many problems at once.

    Levenberg-Marquardt with weights that are computed again at each step (iteratively reweighted
    least squares). All problems take their steps together, as arrays.

    Args:
        parameters: `[R, 5]`, where to start; see `log_loss`.
        n: `[P]`, the logarithm of `N`.
        d: `[P]`, the logarithm of `D`.
        log_losses: `[P]` or `[R, P]`, the logarithm of the losses.
        delta: The residual from which on Huber's loss is linear.
        weights: `[R, P]` weights of the points. Defaults to ones.
        iterations: The most steps. Defaults to 100.

    Returns:
        `(parameters, objective)`: `[R, 5]` and `[R]`.
    """
    y = np.broadcast_to(log_losses, (len(parameters), len(n)))
    weights = np.ones_like(y) if weights is None else weights
    highest = y.min(axis=1)  # The irreducible loss is below all losses,
    lowest = highest - 7  # and below a thousandth it is none.
    x = _clip(parameters, lowest, highest)
    damping = np.full(len(x), 1e-2)
    values, shares = _terms(x, n, d)
    residuals = y - values
    objective = huber(residuals, delta, weights)
    for _ in range(iterations):
        alpha, beta = np.exp(x[:, 2, None]), np.exp(x[:, 4, None])
        we, wa, wb = shares
        jacobian = np.stack([we, wa, -wa * alpha * n, wb, -wb * beta * d], axis=-1)
        influence = weights * np.minimum(1.0, delta / np.maximum(np.abs(residuals), 1e-300))
        scaled = jacobian * influence[..., None]
        normal = np.einsum("rpi,rpj->rij", scaled, jacobian)
        gradient = np.einsum("rpi,rp->ri", scaled, residuals)
        diagonal = np.einsum("rii->ri", normal)
        scale = damping[:, None] * diagonal + 1e-12 * diagonal.max(axis=1, keepdims=True) + 1e-300
        step = np.linalg.solve(
            normal + scale[..., None] * np.eye(NUM_PARAMETERS), gradient[..., None]
        )
        candidate = _clip(x + np.clip(step[..., 0], -2, 2), lowest, highest)
        values, new_shares = _terms(candidate, n, d)
        new_residuals = y - values
        new_objective = huber(new_residuals, delta, weights)
        better = new_objective < objective
        change = np.where(better, objective - new_objective, 0.0)
        done = better & (change <= 1e-10 * objective)
        x = np.where(better[:, None], candidate, x)
        shares = np.where(better[:, None], new_shares, shares)
        residuals = np.where(better[:, None], new_residuals, residuals)
        objective = np.where(better, new_objective, objective)
        damping = np.clip(np.where(better, damping / 4, damping * 5), 1e-9, 1e9)
        if np.all(done | (damping >= 1e9) | (objective == 0)):
            break
    return x, objective


def _clip(parameters, lowest, highest):
    clipped = parameters.copy()
    clipped[:, 0] = np.clip(parameters[:, 0], lowest, highest)
    clipped[:, [2, 4]] = np.clip(parameters[:, [2, 4]], *EXPONENTS)
    return clipped
