"""One pass of the decoder: a step of each row, or a check of a draft."""

from typing import Any, NamedTuple

import tensorflow as tf

from primer_tf.export.cache_tensors import CacheTensors
from primer_tf.export.sampling import SamplingSettings, choose_tokens
from primer_tf.models import PrimerCausalLM
from primer_tf.models.speculative_decoding import (
    Draft,
    credit_after,
    pass_cost,
    read_tokens,
    write_tokens,
)
from primer_tf.types import Cache, Tensor


class Rows(NamedTuple):
    """The state of a batch between two calls of the decoder.

    Attributes:
        token_ids: `[B]`, the last token of each row, which is not in the cache yet.
        positions: `[B]`, the position of that token.
        is_done: `[B]` booleans, true where the end token came or there is no room for more.
        seen: `[B, V]` booleans, true at tokens of the row's text.
        texts: `[B, L]`, the rows' texts, from which drafts are made; `[B, 0]` without drafts.
        credit: For how many steps drafts may still be wrong, a scalar.
        cache: The model's cache.
    """

    token_ids: Tensor
    positions: Tensor
    is_done: Tensor
    seen: Tensor
    texts: Tensor
    credit: Tensor
    cache: Cache


class Decoded(NamedTuple):
    """The tokens that a call of the decoder chose.

    Attributes:
        token_ids: `[B, N]`, the pad token after a row's end.
        is_new: `[B, N]` booleans, false after a row's end.
        log_probabilities: `[B, N]`, of the tokens by the model itself: before penalty, temperature
            and filters. Zero after a row's end.
        alternative_ids: `[B, N, A]`, the most probable tokens.
        alternative_log_probabilities: `[B, N, A]`.
    """

    token_ids: Tensor
    is_new: Tensor
    log_probabilities: Tensor
    alternative_ids: Tensor
    alternative_log_probabilities: Tensor


class Progress(NamedTuple):
    """How far a call of the decoder has come.

    Attributes:
        rows: The state.
        decoded: The tokens.
        counts: `[B]` integers, the number of each row's tokens.
        has_draft: Whether a row has a draft, a scalar.
    """

    rows: Rows
    decoded: Decoded
    counts: Tensor
    has_draft: Tensor

    def is_growing(self, steps: Tensor) -> Tensor:
        """Returns which rows get more tokens in a call for so many steps, `[B]` booleans."""
        return ~self.rows.is_done & (self.counts < steps)


class DecodingPass:
    """Runs some positions of each row and chooses the tokens that follow.

    Args:
        model: A `PrimerCausalLM`.
        max_length: The number of positions of the longest text.
        end_token_id: The token that ends a row.
        draft: A `Draft` without a state, or `None`.
    """

    def __init__(
        self, model: PrimerCausalLM, max_length: int, end_token_id: int, draft: Draft | None
    ) -> None:
        self._model = model
        self._max_length = max_length
        self._end_token_id = end_token_id
        self._draft = draft
        self._cache = CacheTensors(model)
        self._cost = pass_cost(model)
        # Positions of a pass that checks a draft.
        self.width = 1 if draft is None else min(draft.length + 1, max_length)

    def begin(self, rows: Rows, decoded: Decoded) -> Progress:
        """Returns the progress before the first pass.

        Args:
            rows: The state.
            decoded: Room for the tokens.
        """
        counts = tf.zeros_like(rows.positions)
        return Progress(rows, decoded, counts, self._has_draft(rows, ~rows.is_done))

    def __call__(
        self,
        progress: Progress,
        width: int,
        steps: Tensor,
        ends: Tensor,
        settings: SamplingSettings,
        numbers: Tensor,
        weights: Any,
    ) -> Progress:
        """Runs a pass.

        Args:
            progress: The progress before it.
            width: Number of positions of each row: 1 for its last token, or `self.width` for its
                last token and a draft.
            steps: Number of tokens that each row gets at most in this call of the decoder.
            ends: `[B]`, the lengths at which texts have no room for more.
            settings: The `SamplingSettings` of the rows.
            numbers: `[B, L]`, a random number for each position.
            weights: What the model's `decoding_weights` returned.
        """
        rows, counts = progress.rows, progress.counts
        is_growing, positions = progress.is_growing(steps), rows.positions
        tokens, start = self._tokens(rows, width)
        x, cache = self._model._extend_cache(tokens, rows.cache, start, weights)
        logits = tf.cast(self._model._logits_of_step(x, weights), tf.float32)
        chosen = self._choose(rows, tokens, start, logits, settings, numbers)

        # `chosen` are for the positions from `start + 1` on. A row's own tokens are kept, and those
        # of the draft up to the first that is another than the one that was chosen.
        place = start[:, None] + 1 + tf.range(width)
        is_kept = (place[:, :-1] <= positions[:, None]) | (chosen[:, :-1] == tokens[:, 1:])
        kept = tf.reduce_sum(tf.math.cumprod(tf.cast(is_kept, tf.int32), axis=1), axis=1)
        length = positions + 1
        is_end = (chosen == self._end_token_id) & (place >= length[:, None])
        before_end = tf.reduce_sum(
            tf.math.cumprod(1 - tf.cast(is_end, tf.int32), axis=1, exclusive=True), axis=1
        )
        new_length = start + 1 + tf.minimum(kept + 1, before_end)
        new_length = tf.minimum(new_length, tf.minimum(length + steps - counts, ends))
        new_length = tf.where(is_growing, tf.maximum(new_length, length), length)
        is_new = (place >= length[:, None]) & (place < new_length[:, None])
        count = new_length - length

        decoded = _append(progress.decoded, chosen, logits, counts, count, length - start - 1)
        is_done = (
            rows.is_done
            | tf.reduce_any(is_end & is_new, axis=1)
            | (is_growing & (new_length >= ends))
        )
        last = tf.gather(chosen, tf.maximum(new_length - start - 2, 0), batch_dims=1)
        index = tf.stack(
            [_row_numbers(chosen), tf.where(is_new, chosen, rows.token_ids[:, None])], 2
        )
        rows = Rows(
            tf.where(count > 0, last, rows.token_ids),
            # A row that is done stays where it is, within the cache.
            tf.where(is_done, positions, positions + count),
            is_done,
            tf.tensor_scatter_nd_update(rows.seen, index, tf.ones_like(is_new)),
            rows.texts
            if self._draft is None
            else write_tokens(rows.texts, chosen, start + 1, new_length, length),
            self._credit(rows.credit, is_growing, count, width),
            cache,
        )
        progress = Progress(rows, decoded, counts + count, progress.has_draft)
        return progress._replace(has_draft=self._has_draft(rows, progress.is_growing(steps)))

    def _tokens(self, rows: Rows, width: int) -> tuple[Tensor, Tensor]:
        """Returns the tokens to run, `[B, width]`, and the positions of the first ones."""
        if width == 1:
            return rows.token_ids[:, None], rows.positions
        assert self._draft is not None
        length = rows.positions + 1
        drafts, _ = self._draft.propose(rows.texts, length, ())
        texts = write_tokens(rows.texts, drafts, length, length + drafts.shape[1])
        # Near the end of the cache, a pass starts earlier and runs some tokens again.
        start = tf.minimum(rows.positions, self._cache.length(rows.cache) - width)
        return read_tokens(texts, start, width), start

    def _choose(
        self,
        rows: Rows,
        tokens: Tensor,
        start: Tensor,
        logits: Tensor,
        settings: SamplingSettings,
        numbers: Tensor,
    ) -> Tensor:
        """Returns the tokens that follow, `[B, width]`."""
        width = tokens.shape[1]
        place = start[:, None] + 1 + tf.range(width)
        number = tf.gather(numbers, tf.minimum(place, self._max_length - 1), batch_dims=1)

        def seen() -> Tensor:
            if width == 1:
                return rows.seen
            run = tf.cumsum(tf.one_hot(tokens, logits.shape[-1], dtype=tf.int32), axis=1) > 0
            return tf.reshape(rows.seen[:, None] | run, [-1, logits.shape[-1]])

        if width > 1:
            settings = SamplingSettings(*(tf.repeat(each, width) for each in settings))
        flat = tf.reshape(logits, [-1, logits.shape[-1]])
        chosen = choose_tokens(flat, settings, seen, tf.reshape(number, [-1]))
        return tf.reshape(chosen, [-1, width])

    def _credit(self, credit: Tensor, is_growing: Tensor, count: Tensor, width: int) -> Tensor:
        if self._draft is None:
            return credit
        cost = self._cost + self._draft.cost if width > 1 else None
        return credit_after(credit, is_growing, count, cost)

    def _has_draft(self, rows: Rows, is_growing: Tensor) -> Tensor:
        if self._draft is None:
            return tf.constant(False)
        found = self._draft.has_tokens(rows.texts, rows.positions + 1) & is_growing
        return tf.reduce_any(found) & (self._cache.length(rows.cache) >= self.width)


def _row_numbers(x: Tensor) -> Tensor:
    """Returns `[B, N]` with the number of the row."""
    return tf.broadcast_to(tf.range(tf.shape(x)[0])[:, None], tf.shape(x))


def _append(
    decoded: Decoded, chosen: Tensor, logits: Tensor, counts: Tensor, new: Tensor, first: Tensor
) -> Decoded:
    """Writes the new tokens of a pass behind those that each row has.

    Args:
        decoded: The tokens before.
        chosen: `[B, W]`, the tokens of the pass.
        logits: `[B, W, V]`, what they were chosen from.
        counts: `[B]`, the number of tokens that each row has.
        new: `[B]`, the number of its new tokens.
        first: `[B]`, the first of them in `chosen`.
    """
    log_normalizer = tf.reduce_logsumexp(logits, axis=-1)
    top = tf.math.top_k(logits, decoded.alternative_ids.shape[-1])
    choice = Decoded(
        chosen,
        tf.fill(tf.shape(chosen), True),
        tf.gather(logits, chosen, batch_dims=2) - log_normalizer,
        top.indices,
        top.values - log_normalizer[..., None],
    )
    column = tf.range(tf.shape(decoded.token_ids)[1])[None] - counts[:, None]
    is_here = (column >= 0) & (column < new[:, None])
    source = tf.clip_by_value(column + first[:, None], 0, chosen.shape[1] - 1)

    def put(buffer: Tensor, values: Tensor) -> Tensor:
        here = is_here[..., None] if values.shape.rank == 3 else is_here
        if chosen.shape[1] > 1:
            values = tf.gather(values, source, batch_dims=1)
        return tf.where(here, values, buffer)

    return Decoded(*map(put, decoded, choice))
