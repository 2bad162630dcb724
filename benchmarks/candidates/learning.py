"""Peers learn a text, whatever their library."""

import math

WEIGHT_DECAY = 0.1
WARMUP_FRACTION = 0.05


def rate_at(share, peak):
    """Returns the learning rate after a share of the steps: warm-up, then half a cosine to zero."""
    if share < WARMUP_FRACTION:
        return peak * share / WARMUP_FRACTION
    share = (share - WARMUP_FRACTION) / (1 - WARMUP_FRACTION)
    return peak * 0.5 * (1 + math.cos(math.pi * share))


def learn(text, steps, peak, step, nats):
    """Trains on the batches of a text, and evaluates.

    Args:
        text: Arrays of `benchmarks.time_to_loss.write_batches`.
        steps: Number of training steps.
        peak: The highest learning rate.
        step: Function that trains on inputs and targets at a rate.
        nats: Function from inputs, targets and weights to the sum of nats.

    Returns:
        Dict of the number of steps and the bits per byte after them.
    """
    inputs, targets = text["inputs"], text["targets"]
    for i in range(steps):
        step(inputs[i % len(inputs)], targets[i % len(inputs)], rate_at((i + 1) / steps, peak))
    held_out = (text[f"held_out_{name}"] for name in ("inputs", "targets", "weights"))
    total = sum(nats(*batch) for batch in zip(*held_out, strict=True))
    bits = float(total) / math.log(2) / float(text["num_bytes"])
    return {"steps": steps, "bits_per_byte": bits}
