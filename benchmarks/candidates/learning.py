"""Peers learn a text for so many seconds, whatever their library."""

import math
import statistics
import time

from benchmarks.harness import TINY

MODEL = {**TINY, "vocabulary_size": 8064}
WEIGHT_DECAY = 0.1
WARMUP_FRACTION = 0.05
TIMED_STEPS = 20


def rate_at(share, peak):
    """Returns the learning rate after a share of the steps: warm-up, then half a cosine to zero."""
    if share < WARMUP_FRACTION:
        return peak * share / WARMUP_FRACTION
    share = (share - WARMUP_FRACTION) / (1 - WARMUP_FRACTION)
    return peak * 0.5 * (1 + math.cos(math.pi * share))


def learn(text, seconds, peak, step, nats, reset):
    """Trains for so many seconds, after some steps that only show how long a step takes.

    Args:
        text: Arrays of `benchmarks.time_to_loss.write_batches`.
        seconds: Seconds of training steps.
        peak: The highest learning rate.
        step: Function that trains on inputs and targets at a rate.
        nats: Function from inputs, targets and weights to the sum of nats.
        reset: Function that undoes all steps.

    Returns:
        Dict of the number of steps, their seconds and the bits per byte after them.
    """
    inputs, targets = text["inputs"], text["targets"]
    timed = []
    for i in range(TIMED_STEPS):
        start = time.perf_counter()
        step(inputs[i], targets[i], 1e-4)
        timed.append(time.perf_counter() - start)
    # The median, because the first steps compile.
    steps = max(1, round(seconds / statistics.median(timed)))
    reset()
    start = time.perf_counter()
    for i in range(steps):
        step(inputs[i % len(inputs)], targets[i % len(inputs)], rate_at((i + 1) / steps, peak))
    seconds = time.perf_counter() - start
    held_out = (text[f"held_out_{name}"] for name in ("inputs", "targets", "weights"))
    total = sum(nats(*batch) for batch in zip(*held_out, strict=True))
    bits = float(total) / math.log(2) / float(text["num_bytes"])
    return {"steps": steps, "seconds": seconds, "bits_per_byte": bits}
