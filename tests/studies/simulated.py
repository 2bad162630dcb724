"""Learning curves and scaling grids with known answers."""

import numpy as np

from primer_tf.studies.scaling_surface import ScalingPoints
from primer_tf.studies.speedup import Curves

SIZES = np.geomspace(0.5e6, 15e6, 5)
TOKENS = np.array([1e6, 2e6, 4e6])
# Of the baseline: the irreducible loss, and factor and exponent of sizes and of tokens.
SURFACE = (1.2, 60.0, 0.25, 250.0, 0.35)


def curve(steps, speed=1.0):
    return 2.0 + 8.0 * (speed * steps) ** -0.35


def curves(seeds, speed=1.0, noise=0.0, generator=None):
    """Curves of a model that learns `speed` times as fast as the baseline; a seed has an offset."""
    steps = np.arange(50, 2001, 50)
    losses = np.repeat(curve(steps, speed)[None], seeds, axis=0)
    if noise:
        losses += noise * generator.normal(size=(seeds, 1))
        losses += noise / 3 * generator.normal(size=losses.shape)
    return Curves(steps, losses)


def loss(sizes, tokens, savings=1.0):
    """The loss of an architecture that saves a factor: it needs fewer parameters for the same."""
    e, a, alpha, b, beta = SURFACE
    share = np.sqrt(savings)
    return e + a * (share * sizes) ** -alpha + b * (share * tokens) ** -beta


def points(generator, savings=1.0, noise=0.004, seeds=3):
    """A grid of 5 sizes and 3 training lengths; one run has all training lengths."""
    sizes, tokens, run = [], [], []
    losses = []
    for index, size in enumerate(SIZES):
        for seed in range(seeds):
            of_run = noise * generator.normal()
            for length in TOKENS:
                sizes.append(size)
                tokens.append(length)
                run.append(index * seeds + seed)
                error = of_run + noise / 2 * generator.normal()
                losses.append(loss(size, length, savings) * np.exp(error))
    return ScalingPoints(*map(np.array, (sizes, tokens, losses, run)))


def true_exponent(compute, savings=1.0):
    """The slope of the true frontier over its losses, found by trying sizes."""
    log_compute = np.linspace(*np.log(compute), 301)
    sizes = np.geomspace(1e3, 1e11, 20001)
    best = np.log([loss(sizes, c / (6 * sizes), savings).min() for c in np.exp(log_compute)])
    losses = np.linspace(best[0], best[-1], 301)
    return -1 / np.polyfit(losses, np.interp(-losses, -best, log_compute), 1)[0]
