"""Completions of a batch of prompts, given as token ids."""

from typing import NamedTuple

import tensorflow as tf

from primer_tf.export.decoding import BATCH_SIZES, Decoder, round_up
from primer_tf.export.decoding_pass import Decoded, Rows
from primer_tf.export.sampling import SamplingSettings
from primer_tf.export.stop_strings import find_first
from primer_tf.types import Tensor


class Completions(NamedTuple):
    """The new tokens of a batch of prompts.

    Attributes:
        token_ids: `[B, N]`, the new tokens with the end token, then the pad token.
        log_probabilities: `[B, N]`, of the new tokens by the model itself, then zeros.
        is_new: `[B, N]` booleans, true at the new tokens.
        is_stopped: `[B]` booleans, true where the end token or a stop string came.
    """

    token_ids: Tensor
    log_probabilities: Tensor
    is_new: Tensor
    is_stopped: Tensor


class StopStrings(NamedTuple):
    """Strings that end the text of a row.

    Attributes:
        strings: `[B, K]`, padded with empty strings.
        token_texts: `[V]` strings, the text of each token.
    """

    strings: Tensor
    token_texts: Tensor


def complete(
    decoder: Decoder,
    token_ids: Tensor,
    lengths: Tensor,
    max_new_tokens: Tensor,
    settings: SamplingSettings,
    seeds: Tensor,
    stop: StopStrings | None = None,
) -> Completions:
    """Completes prompts until every row has ended.

    Args:
        decoder: The `Decoder`.
        token_ids: `[B, T]` integers, padded on the right.
        lengths: `[B]` integers, the lengths of the prompts, at least 1.
        max_new_tokens: `[B]` integers, at least 1.
        settings: The `SamplingSettings` of the rows.
        seeds: `[B]` integers.
        stop: The strings that end a row's text, beside the end token. Defaults to none.
    """
    limit, num_prompts = tf.reduce_max(max_new_tokens), tf.shape(lengths)[0]
    if decoder.jit_compile:
        # XLA compiles for each number of rows, so there are only a few.
        row = tf.minimum(tf.range(round_up(num_prompts, BATCH_SIZES)), num_prompts - 1)
        token_ids, lengths, max_new_tokens, settings, seeds = tf.nest.map_structure(
            lambda each: tf.gather(each, row),
            (token_ids, lengths, max_new_tokens, settings, seeds),
        )
        if stop is not None:
            stop = stop._replace(strings=tf.gather(stop.strings, row))
    is_copy = tf.range(tf.shape(lengths)[0]) >= num_prompts
    ends = lengths + max_new_tokens
    numbers = decoder.random_numbers(seeds)
    prompts = (token_ids, lengths, is_copy)
    if stop is None:
        decoded = decoder.whole(*prompts, limit, ends, settings, numbers)
        done = Completions(
            decoded.token_ids, decoded.log_probabilities, decoded.is_new, decoder.has_end(decoded)
        )
    else:
        done = _complete_watching(decoder, prompts, limit, ends, settings, numbers, stop)
    new_ids, log_probabilities, is_new = (x[:num_prompts, :limit] for x in done[:3])
    return Completions(
        tf.where(is_new, new_ids, decoder.pad_token_id),
        tf.where(is_new, log_probabilities, 0.0),
        is_new,
        done.is_stopped[:num_prompts],
    )


def _complete_watching(
    decoder: Decoder,
    prompts: tuple[Tensor, Tensor, Tensor],
    limit: Tensor,
    ends: Tensor,
    settings: SamplingSettings,
    numbers: Tensor,
    stop: StopStrings,
) -> Completions:
    """Completes prompts, and looks for stop strings after every few steps."""
    batch_size = tf.shape(ends)[0]
    # Without stop strings there is nothing to look at before the end.
    has_none = tf.reduce_all(stop.strings == "")
    steps = tf.where(has_none, limit, decoder.steps_before_stop)

    def more(rows: Rows, tails: Tensor, done: Completions) -> Tensor:
        return (tf.shape(done.token_ids)[1] < limit) & ~tf.reduce_all(rows.is_done)

    def add(
        rows: Rows, decoded: Decoded, tails: Tensor, done: Completions
    ) -> tuple[Rows, Tensor, Completions]:
        tails, is_new, found = tf.cond(
            has_none,
            lambda: (tails, decoded.is_new, tf.zeros_like(rows.is_done)),
            lambda: _watch(decoded, tails, stop),
        )
        done = Completions(
            tf.concat([done.token_ids, decoded.token_ids], axis=1),
            tf.concat([done.log_probabilities, decoded.log_probabilities], axis=1),
            tf.concat([done.is_new, is_new], axis=1),
            done.is_stopped | decoder.has_end(decoded) | found,
        )
        return rows._replace(is_done=rows.is_done | found), tails, done

    def extend(rows: Rows, tails: Tensor, done: Completions) -> tuple[Rows, Tensor, Completions]:
        rows, decoded = decoder(rows, steps, ends, settings, numbers)
        return add(rows, decoded, tails, done)

    nothing = Completions(
        tf.zeros([batch_size, 0], tf.int32),
        tf.zeros([batch_size, 0]),
        tf.zeros([batch_size, 0], tf.bool),
        tf.zeros([batch_size], tf.bool),
    )
    rows, decoded = decoder.start(*prompts, steps, ends, settings, numbers)
    loop = add(rows, decoded, tf.fill([batch_size], ""), nothing)
    growing = tf.TensorShape([None, None])
    shapes = (
        tf.nest.map_structure(lambda x: x.shape, rows),
        tf.TensorShape([None]),
        Completions(growing, growing, growing, tf.TensorShape([None])),
    )
    _, _, done = tf.while_loop(more, extend, loop, shape_invariants=shapes)
    return done


def _watch(decoded: Decoded, tails: Tensor, stop: StopStrings) -> tuple[Tensor, Tensor, Tensor]:
    """Looks for stop strings after every token.

    Args:
        decoded: The last tokens.
        tails: `[B]` strings, the ends of the texts before them.
        stop: The `StopStrings`.

    Returns:
        `(tails, is_new, found)`: the ends of the texts, `[B, N]` booleans that are true at tokens
        up to the one that completed a stop string, and `[B]` booleans.
    """
    longest = tf.reduce_max(tf.strings.length(stop.strings))

    def body(step: Tensor, tails: Tensor, lengths: Tensor, found: Tensor) -> tuple:
        is_new = decoded.is_new[:, step] & ~found
        new = tf.gather(stop.token_texts, decoded.token_ids[:, step])
        texts = tf.strings.join([tails, tf.where(is_new, new, "")])
        found = found | find_first(texts, stop.strings)[0]
        # What may be the beginning of a stop string.
        size = tf.strings.length(texts)
        kept = tf.minimum(size, longest - 1)
        tails = tf.strings.substr(texts, size - kept, kept)
        return step + 1, tails, lengths + tf.cast(is_new, tf.int32), found

    count, no_row = tf.shape(decoded.token_ids)[1], tf.fill(tf.shape(tails), False)
    loop = (tf.constant(0), tails, tf.cast(no_row, tf.int32), no_row)
    _, tails, lengths, found = tf.while_loop(lambda step, *_: step < count, body, loop)
    return tails, tf.sequence_mask(lengths, count), found
