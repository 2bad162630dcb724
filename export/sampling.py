"""The choice of the next token, with settings and random numbers of each row's own."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from primer_tf.layers.argmax import argmax
from primer_tf.types import Tensor

# Tokens that are sorted to find those of a filter; if they are not enough, all are sorted. Their
# number does not depend on the request, because XLA must know it.
CANDIDATES = 256


class SamplingSettings(NamedTuple):
    """How each row's next token is chosen; every field is `[B]`.

    Attributes:
        temperature: Divisor of the logits; 0 takes the most probable token.
        top_k: Number of most probable tokens to draw from, 0 for all.
        top_p: Draw from the fewest tokens that have this probability together, 1 for all.
        repetition_penalty: Divisor of the positive logits, and factor of the negative ones, of
            tokens that the text has already (Keskar et al. 2019, section 4.1).
    """

    temperature: Tensor
    top_k: Tensor
    top_p: Tensor
    repetition_penalty: Tensor


def random_numbers(seeds: Tensor, length: int) -> Tensor:
    """Returns a number from 0 to 1 for every position of every row.

    A row's numbers depend on its seed alone, not on its batch.

    Args:
        seeds: `[B]` integers.
        length: Number of positions, `L`.

    Returns:
        `[B, L]`, in float32.
    """

    def of_row(seed: Tensor) -> Tensor:
        return tf.random.stateless_uniform([length], tf.stack([seed, 0]))

    return tf.map_fn(of_row, seeds, fn_output_signature=tf.TensorSpec([length], tf.float32))


def choose_tokens(
    logits: Tensor, settings: SamplingSettings, seen: Callable[[], Tensor], numbers: Tensor
) -> Tensor:
    """Chooses a token for each row.

    `top_k` applies to the logits divided by the temperature, and `top_p` to the softmax of what
    `top_k` leaves. Tokens as probable as the last one that a filter keeps are kept, too.

    Args:
        logits: `[B, V]` float32.
        settings: The `SamplingSettings`.
        seen: A function that returns `[B, V]` booleans, true at tokens of the row's text.
        numbers: `[B]`, random numbers from 0 to 1.

    Returns:
        `[B]` integers.
    """
    penalty = settings.repetition_penalty
    logits = tf.cond(
        tf.reduce_any(penalty != 1.0), lambda: penalize(logits, seen(), penalty), lambda: logits
    )
    greedy = argmax(logits)
    is_greedy = settings.temperature == 0.0

    def sample() -> Tensor:
        temperature = tf.where(is_greedy, 1.0, settings.temperature)
        scaled = logits - tf.reduce_max(logits, axis=-1, keepdims=True)
        scaled = filter_logits(scaled / temperature[:, None], settings.top_k, settings.top_p)
        return tf.where(is_greedy, greedy, draw(scaled, numbers))

    return tf.cond(tf.reduce_all(is_greedy), lambda: greedy, sample)


def penalize(logits: Tensor, seen: Tensor, penalty: Tensor) -> Tensor:
    """Makes the tokens that a text has already less probable."""
    factor = penalty[:, None]
    return tf.where(seen, tf.where(logits > 0, logits / factor, logits * factor), logits)


def filter_logits(logits: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Replaces the logits that `top_k` and `top_p` leave out by minus infinity.

    Args:
        logits: `[B, V]`; the largest of each row is 0.
        top_k: `[B]` integers, 0 for no limit.
        top_p: `[B]`, 1 for no limit.

    Returns:
        `[B, V]`.
    """

    size = logits.shape[1]
    few = min(CANDIDATES, size)

    def keep_top_k() -> Tensor:
        is_few = tf.reduce_max(top_k) <= few
        least = tf.cond(is_few, lambda: _nth(logits, top_k, few), lambda: _nth(logits, top_k, size))
        return _from(logits, tf.where(top_k > 0, least, -float("inf")))

    def keep_top_p(logits: Tensor) -> Tensor:
        total = tf.reduce_sum(tf.exp(logits), axis=-1)
        least, enough = _nucleus(logits, few, total, top_p)
        least = tf.cond(
            tf.reduce_all(enough | (top_p == 1.0)),
            lambda: least,
            lambda: _nucleus(logits, size, total, top_p)[0],
        )
        return _from(logits, tf.where(top_p < 1.0, least, -float("inf")))

    logits = tf.cond(tf.reduce_any(top_k > 0), keep_top_k, lambda: logits)
    return tf.cond(tf.reduce_any(top_p < 1.0), lambda: keep_top_p(logits), lambda: logits)


def _from(logits: Tensor, least: Tensor) -> Tensor:
    return tf.where(logits >= least[:, None], logits, -float("inf"))


def _nth(logits: Tensor, n: Tensor, count: int) -> Tensor:
    """Returns the logit that is the `n`-th largest of its row, by sorting the `count` largest."""
    values = tf.math.top_k(logits, count).values
    return tf.gather(values, tf.maximum(n - 1, 0), batch_dims=1)


def _nucleus(logits: Tensor, count: int, total: Tensor, top_p: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the least logit of `top_p`, and whether `count` sorted tokens were enough."""
    values = tf.math.top_k(logits, count).values
    probabilities = tf.exp(values)
    before = tf.cumsum(probabilities, axis=-1) - probabilities
    inside = tf.reduce_sum(tf.cast(before < (top_p * total)[:, None], tf.int32), axis=-1)
    return tf.gather(values, inside - 1, batch_dims=1), inside < count


def draw(logits: Tensor, numbers: Tensor) -> Tensor:
    """Draws from the softmax, by inversion of its cumulative distribution.

    Args:
        logits: `[B, V]`; the largest of each row is 0.
        numbers: `[B]`, random numbers from 0 to 1.

    Returns:
        `[B]` integers.
    """
    cumulative = tf.cumsum(tf.exp(logits), axis=-1)
    total = cumulative[:, -1]
    # Rounding must not reach the total, which lies after the last token.
    point = tf.minimum(numbers * total, tf.math.nextafter(total, tf.zeros_like(total)))
    return tf.reduce_sum(tf.cast(cumulative <= point[:, None], tf.int32), axis=-1)
