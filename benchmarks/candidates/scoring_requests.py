"""Requests for log likelihoods: contexts and their continuations, as token ids."""

import numpy as np


def make(vocabulary_size, contexts, choices, context_lengths, choice_lengths, seed=0):
    """Returns pairs of a context and a continuation, those of a context one after the other.

    Args:
        vocabulary_size: Number of tokens.
        contexts: Number of contexts.
        choices: Number of continuations of each.
        context_lengths: The shortest and the longest context.
        choice_lengths: The same of the continuations.
        seed: Seed of the lengths and the tokens.
    """
    rng = np.random.default_rng(seed)

    def draw(lengths):
        length = rng.integers(lengths[0], lengths[1], endpoint=True)
        return rng.integers(3, vocabulary_size, length).tolist()

    return [
        (context, draw(choice_lengths))
        for context in [draw(context_lengths) for _ in range(contexts)]
        for _ in range(choices)
    ]


def total(scores):
    """Returns the sum of log likelihoods, for the record."""
    return float(sum(nats for nats, _ in scores))
