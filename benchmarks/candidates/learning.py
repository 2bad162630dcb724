"""Peers learn a text for so many seconds, whatever their library."""

import math
import time

from benchmarks.harness import TINY

MODEL = {**TINY, "vocabulary_size": 8064}
WEIGHT_DECAY = 0.1
WARMUP_FRACTION = 0.05
TIMED_STEPS = 20


class Schedule:
    """A linear warm-up, then half a cosine to zero, over shares of the run.

    Args:
        peak: The highest learning rate.
    """

    def __init__(self, peak):
        self.peak = peak

    def __call__(self, share):
        """Returns the learning rate after a share of the steps."""
        if share < WARMUP_FRACTION:
            return self.peak * share / WARMUP_FRACTION
        share = (share - WARMUP_FRACTION) / (1 - WARMUP_FRACTION)
        return self.peak * 0.5 * (1 + math.cos(math.pi * share))


def learn(text, seconds, schedule, step, nats, reset):
    """Trains for so many seconds, after some steps that only show how long a step takes.

    Args:
        text: Arrays of `benchmarks.time_to_loss.write_batches`.
        seconds: Seconds of training steps.
        schedule: Function from a share of the steps to a learning rate.
        step: Function that trains on inputs and targets at a rate.
        nats: Function from inputs, targets and weights to the sum of nats.
        reset: Function that undoes all steps.

    Returns:
        Dict of the number of steps, their seconds and the bits per byte after them.
    """
    inputs, targets = text["inputs"], text["targets"]
    for _ in range(2):  # The first steps compile.
        step(inputs[0], targets[0], 1e-4)
    start = time.perf_counter()
    for i in range(TIMED_STEPS):
        step(inputs[i], targets[i], 1e-4)
    steps = max(1, round(seconds / (time.perf_counter() - start) * TIMED_STEPS))
    reset()
    start = time.perf_counter()
    for i in range(steps):
        step(inputs[i % len(inputs)], targets[i % len(inputs)], schedule((i + 1) / steps))
    seconds = time.perf_counter() - start
    held_out = (text[f"held_out_{name}"] for name in ("inputs", "targets", "weights"))
    total = sum(nats(*batch) for batch in zip(*held_out, strict=True))
    bits = total / math.log(2) / float(text["num_bytes"])
    return {"steps": steps, "seconds": seconds, "bits_per_byte": bits}
