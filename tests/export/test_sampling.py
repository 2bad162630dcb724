"""Tokens are drawn with the probabilities that the settings define."""

import numpy as np
import pytest
import tensorflow as tf

from primer_tf.export.sampling import SamplingSettings, choose_tokens, random_numbers
from primer_tf.export.stop_strings import find_first

DRAWS = 20_000
LOGITS = np.array([1.0, 3.0, -1.0, 2.5, 0.0, 2.0, -3.0, 1.5])
# The chi-square value that `n` degrees of freedom exceed with probability 0.001.
LIMITS = {2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52, 6: 22.46, 7: 24.32}


def expected_probabilities(temperature, top_k, top_p):
    """Softmax, then the most probable `top_k`, then the fewest with `top_p` in all."""
    p = np.exp(LOGITS / temperature)
    order = np.argsort(-p)
    if top_k:
        p[order[top_k:]] = 0
    p /= p.sum()
    kept, total = [], 0.0
    for token in order:
        if total >= top_p:
            break
        kept.append(token)
        total += p[token]
    p[[token for token in order if token not in kept]] = 0
    return p / p.sum()


@pytest.fixture(scope="module")
def numbers():
    """One number for each of as many seeds."""
    return random_numbers(tf.range(DRAWS), 3)[:, 1]


def draw(numbers, temperature, top_k, top_p):
    settings = SamplingSettings(
        *(tf.fill([DRAWS], tf.constant(v)) for v in (temperature, top_k, top_p, 1.0))
    )
    logits = tf.constant(np.tile(LOGITS, (DRAWS, 1)), tf.float32)
    tokens = choose_tokens(logits, settings, lambda: None, numbers)
    return np.bincount(tokens.numpy(), minlength=len(LOGITS))


@pytest.mark.parametrize(
    "settings",
    [(1.0, 0, 1.0), (0.5, 0, 1.0), (2.0, 0, 1.0), (1.0, 4, 1.0), (1.0, 0, 0.8), (1.5, 5, 0.7)],
)
def test_frequencies(numbers, settings):
    counts, p = draw(numbers, *settings), expected_probabilities(*settings)
    assert counts[p == 0].sum() == 0
    found, expected = counts[p > 0], DRAWS * p[p > 0]
    chi_square = ((found - expected) ** 2 / expected).sum()
    assert chi_square < LIMITS[len(expected) - 1]
    # The test can tell: a little warmer would fail it.
    warmer = expected_probabilities(settings[0] * 1.2, *settings[1:])[p > 0]
    assert ((found - DRAWS * warmer) ** 2 / (DRAWS * warmer)).sum() > LIMITS[len(expected) - 1]


def test_numbers_are_uniform_and_of_the_seed_alone():
    numbers = random_numbers(tf.range(1000), 20).numpy()
    counts = np.histogram(numbers, bins=8, range=(0, 1))[0]
    assert ((counts - 2500) ** 2 / 2500).sum() < LIMITS[7]
    np.testing.assert_array_equal(random_numbers(tf.constant([7, 3]), 20).numpy(), numbers[[7, 3]])


def test_the_edges():
    def choose(number, top_k=0, top_p=1.0, temperature=1.0):
        settings = SamplingSettings(*(tf.constant([v]) for v in (temperature, top_k, top_p, 1.0)))
        logits = tf.constant(LOGITS[None], tf.float32)
        seen = tf.zeros([1, len(LOGITS)], tf.bool)
        return int(choose_tokens(logits, settings, lambda: seen, tf.constant([number]))[0])

    assert choose(0.0) == 0 and choose(np.nextafter(np.float32(1), np.float32(0))) == 7
    for number in (0.0, 0.5, 0.999):
        assert choose(number, top_k=1) == choose(number, top_p=1e-6) == 1
        assert choose(number, temperature=0.0) == 1
        assert choose(number, temperature=1e-30) == 1


def test_the_nucleus_may_need_more_than_the_candidates():
    size = 1000
    logits = tf.zeros([1, size]) - tf.range(size, dtype=tf.float32) * 1e-6
    settings = SamplingSettings(*(tf.constant([v]) for v in (1.0, 0, 0.9, 1.0)))
    seen = tf.zeros([1, size], tf.bool)
    last = choose_tokens(logits, settings, lambda: seen, tf.constant([0.9999]))
    assert 890 <= int(last[0]) <= 901


@pytest.mark.parametrize(
    "text, stops, expected",
    [
        ("abcdef", ["cd", ""], (True, 2)),
        ("abcdef", ["x", ""], (False, None)),
        ("abab", ["ab", "b"], (True, 0)),
        ("abcd", ["bcd", "cd"], (True, 1)),
        ("aaa", ["aaaa", ""], (False, None)),
        ("", ["a", ""], (False, None)),
        ("é!", ["!", ""], (True, 2)),
    ],
)
def test_the_first_stop_string(text, stops, expected):
    found, start = find_first(tf.constant([text]), tf.constant([stops]))
    assert bool(found[0]) == expected[0]
    if expected[0]:
        assert int(start[0]) == expected[1]
