"""The decoding loop, in the graph."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from primer_tf.export.decoding_pass import Decoded, DecodingPass, Progress, Rows
from primer_tf.export.sampling import SamplingSettings, random_numbers
from primer_tf.models import PrimerCausalLM
from primer_tf.models.speculative_decoding import FIRST_CREDIT, Draft, write_tokens
from primer_tf.types import Cache, Tensor

# The sizes that XLA compiles for: powers of two, and for caches also what lies halfway.
BATCH_SIZES = [2**i for i in range(31)]
CACHE_LENGTHS = [length for i in range(6, 30) for length in (2**i, 2**i + 2 ** (i - 1))]


class Decoder:
    """Decodes rows that are independent of each other, each at a position of its own.

    XLA compiles its loop for each number of rows and each length of the cache. So that these are
    few, `start` rounds the length up, and its caller the number of rows.

    With a draft, one pass of the model checks several tokens; see `SpeculativeDecoding`. A row's
    random numbers belong to positions, so even tokens that are drawn are the same without one.

    Args:
        model: A `PrimerCausalLM`.
        max_length: The number of positions of the longest text.
        end_token_id: The token that ends a row.
        pad_token_id: The token that follows the end.
        jit_compile: Whether XLA compiles the loop. Defaults to `False`.
        draft: A `Draft` without a state. Optional.
    """

    def __init__(
        self,
        model: PrimerCausalLM,
        max_length: int,
        end_token_id: int,
        pad_token_id: int,
        jit_compile: bool = False,
        draft: Draft | None = None,
    ) -> None:
        self._model = model
        self._max_length = max_length
        # Of a cache that XLA makes, so that prompts run in chunks of a known size.
        self._least_length = min(CACHE_LENGTHS[0], max_length)
        self._end_token_id = end_token_id
        self.pad_token_id = pad_token_id
        self.jit_compile = jit_compile
        self.draft = draft
        self._pass = DecodingPass(model, max_length, end_token_id, draft)
        # Between two looks for stop strings. A call of a compiled loop copies the cache, and a
        # draft is of several tokens.
        self.steps_before_stop = 8 if jit_compile or draft else 1
        # A request must not wait until they are made.
        weights = tf.function(model.decoding_weights, jit_compile=jit_compile, autograph=False)()
        self.variables = [
            tf.Variable(each, trainable=False)
            for each in tf.nest.flatten(weights)
            if each is not None
        ]
        self._structure = tf.nest.map_structure(lambda each: each is not None, weights)
        # Traced only where they are called.
        self._compiled_run = tf.function(self._run, jit_compile=True, autograph=False)
        self._compiled_prefill = tf.function(self._prefill, jit_compile=True, autograph=False)
        self._compiled_start = tf.function(self._prefill_and_run, jit_compile=True, autograph=False)
        self._compiled_whole = tf.function(
            lambda *arguments: self._prefill_and_run(*arguments)[1],
            jit_compile=True,
            autograph=False,
        )

    def whole(
        self,
        token_ids: Tensor,
        lengths: Tensor,
        is_done: Tensor,
        steps: Tensor,
        ends: Tensor,
        settings: SamplingSettings,
        numbers: Tensor,
    ) -> Decoded:
        """Runs prompts and chooses all their tokens; see `start` for the arguments.

        With XLA the cache never leaves the compiled code, which so does not copy it.
        """
        if not self.jit_compile:
            rows, _ = self.start(token_ids, lengths, is_done, steps, ends, settings, numbers)
            return self(rows, steps, ends, settings, numbers)[1]
        token_ids, seen = self._prompts(token_ids, lengths, ends)
        decoded = self._compiled_whole(
            token_ids, lengths, is_done, seen, steps, ends, settings, numbers
        )
        return Decoded(*(each[:, :steps] for each in decoded))

    def start(
        self,
        token_ids: Tensor,
        lengths: Tensor,
        is_done: Tensor,
        steps: Tensor,
        ends: Tensor,
        settings: SamplingSettings,
        numbers: Tensor,
    ) -> tuple[Rows, Decoded]:
        """Runs prompts.

        With XLA it also chooses the first tokens, because a compiled loop of its own would copy the
        cache.

        Args:
            token_ids: `[B, T]` integers, padded on the right.
            lengths: `[B]` integers, the lengths of the prompts, at least 1.
            is_done: `[B]` booleans, true at rows that get no tokens.
            steps: Number of steps at most, an integer scalar.
            ends: `[B]`, the lengths at which texts have no room for more.
            settings: The `SamplingSettings` of the rows.
            numbers: `[B, L]`, from `random_numbers`.

        Returns:
            `(rows, decoded)`: the state, and the tokens, none without XLA.
        """
        token_ids, seen = self._prompts(token_ids, lengths, ends)
        if not self.jit_compile:
            cache = self._model.prefill(token_ids, lengths, tf.reduce_max(ends) - 1)[1]
            rows = self._after_prompts(token_ids, lengths, is_done, seen, cache)
            return rows, self._nothing(tf.shape(lengths)[0], 0, 0)
        rows, decoded = self._compiled_start(
            token_ids, lengths, is_done, seen, steps, ends, settings, numbers
        )
        return rows, Decoded(*(each[:, :steps] for each in decoded))

    def _prompts(self, token_ids: Tensor, lengths: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """Returns prompts, with XLA as long as the cache, and which tokens occur in each."""
        in_prompt = tf.sequence_mask(lengths, tf.shape(token_ids)[1])
        seen = self.seen(tf.where(in_prompt, token_ids, -1))
        if self.jit_compile:
            cache_length = round_up(tf.reduce_max(ends) - 1, CACHE_LENGTHS)
            token_ids = self._padded(token_ids, tf.minimum(cache_length, self._max_length))
        return token_ids, seen

    def prefill(
        self, token_ids: Tensor, lengths: Tensor, cache_length: Tensor
    ) -> tuple[Tensor, Cache]:
        """Runs prompts; see `PrimerCausalLM.prefill`."""
        if not self.jit_compile:
            return self._model.prefill(token_ids, lengths, cache_length)
        length = tf.maximum(cache_length, self._least_length)
        padded = self._padded(token_ids, length)
        hidden_states, cache = self._compiled_prefill(padded, tf.reduce_max(lengths))
        cut = length - cache_length
        cache = tf.nest.map_structure(lambda x: x[:, : tf.shape(x)[1] - cut], cache)
        return tf.gather(hidden_states, lengths - 1, batch_dims=1), cache

    def _prefill(self, token_ids: Tensor, length: Tensor) -> tuple[Tensor, Cache]:
        return self._model._build_cache(token_ids, length, self._least_length)

    def _padded(self, token_ids: Tensor, length: Tensor) -> Tensor:
        missing = length - tf.shape(token_ids)[1]
        return tf.pad(token_ids, [[0, 0], [0, missing]], constant_values=self.pad_token_id)

    def seen(self, token_ids: Tensor) -> Tensor:
        """Returns which tokens occur in each row of `[B, T]` ids; -1 stands for none."""
        where = tf.where(token_ids >= 0)
        ids = tf.cast(tf.gather_nd(token_ids, where), tf.int64)
        index = tf.stack([where[:, 0], ids], axis=1)
        shape = [tf.shape(token_ids)[0], self._model.backbone.vocabulary_size]
        return tf.scatter_nd(index, tf.ones_like(ids, tf.int32), tf.cast(shape, tf.int64)) > 0

    def rows(
        self,
        token_ids: Tensor,
        positions: Tensor,
        is_done: Tensor,
        text_ids: Tensor,
        cache: Cache,
        credit: Tensor | float,
    ) -> Rows:
        """Returns the state of a client's rows.

        Args:
            token_ids: `[B]` integers, the last token of each row, which is not in the cache yet.
            positions: `[B]` integers, the position of that token.
            is_done: `[B]` booleans, true at rows that get no tokens.
            text_ids: `[B, T]` integers, tokens of each row's text, for the repetition penalty.
                Drafts are made from the whole text, in its order. -1 stands for none.
            cache: The cache.
            credit: See `Rows`.
        """
        texts = self._texts(tf.maximum(text_ids, 0))
        if self.draft is not None:
            texts = write_tokens(texts, token_ids[:, None], positions, positions + 1)
        credit = tf.convert_to_tensor(credit, tf.float32)
        seen = self.seen(text_ids)
        return Rows(token_ids, positions, is_done, seen, texts, credit, cache)

    def _texts(self, token_ids: Tensor) -> Tensor:
        """Returns the texts from which drafts are made, with room for what follows."""
        length = self._max_length if self.draft is not None else 0
        texts = token_ids[:, :length]
        return tf.reshape(self._padded(texts, tf.constant(length)), [-1, length])

    def random_numbers(self, seeds: Tensor) -> Tensor:
        """Returns the random numbers of rows, one for each position; see `sampling`."""
        return random_numbers(seeds, self._max_length)

    def has_end(self, decoded: Decoded) -> Tensor:
        """Returns which rows came to the end token, `[B]` booleans."""
        is_end = decoded.is_new & (decoded.token_ids == self._end_token_id)
        return tf.reduce_any(is_end, axis=1)

    def __call__(
        self,
        rows: Rows,
        steps: Tensor,
        ends: Tensor,
        settings: SamplingSettings,
        numbers: Tensor,
        num_alternatives: int = 0,
    ) -> tuple[Rows, Decoded]:
        """Chooses up to `steps` tokens for every row, fewer if all rows are done before.

        Args:
            rows: The state, from `start` or the last call.
            steps: Number of steps, an integer scalar, at most the number of positions.
            ends: `[B]`, the lengths at which texts have no room for more.
            settings: The `SamplingSettings` of the rows.
            numbers: `[B, L]`, from `random_numbers`.
            num_alternatives: Number of most probable tokens to return, `A`. Defaults to 0.

        Returns:
            `(rows, decoded)`: the state after the call, and the tokens.
        """
        run = self._compiled_run if self.jit_compile else self._run
        rows, decoded = run(rows, steps, ends, settings, numbers, num_alternatives)
        return rows, Decoded(*(each[:, :steps] for each in decoded))

    def _prefill_and_run(
        self,
        token_ids: Tensor,
        lengths: Tensor,
        is_done: Tensor,
        seen: Tensor,
        *arguments: Any,
    ) -> tuple[Rows, Decoded]:
        cache = self._prefill(token_ids, tf.reduce_max(lengths))[1]
        return self._run(self._after_prompts(token_ids, lengths, is_done, seen, cache), *arguments)

    def _nothing(self, batch_size: Tensor, columns: Tensor | int, num_alternatives: int) -> Decoded:
        shape = tf.stack([batch_size, columns])
        wide = tf.stack([batch_size, columns, num_alternatives])
        return Decoded(
            tf.fill(shape, self.pad_token_id),
            tf.zeros(shape, tf.bool),
            tf.zeros(shape),
            tf.zeros(wide, tf.int32),
            tf.zeros(wide),
        )

    def _run(
        self,
        rows: Rows,
        steps: Tensor,
        ends: Tensor,
        settings: SamplingSettings,
        numbers: Tensor,
        num_alternatives: int = 0,
    ) -> tuple[Rows, Decoded]:
        """Returns the state after the call, and at least `steps` columns of tokens."""
        # XLA must know the number of columns.
        columns = self._max_length if self.jit_compile else steps
        decoded = self._nothing(tf.shape(rows.token_ids)[0], columns, num_alternatives)
        weights = self._decoding_weights()

        def run(width: int) -> Callable[..., list[Progress]]:
            def body(progress: Progress) -> list[Progress]:
                return [self._pass(progress, width, steps, ends, settings, numbers, weights)]

            return body

        def more(progress: Progress) -> Tensor:
            return tf.reduce_any(progress.is_growing(steps))

        progress = self._pass.begin(rows, decoded)
        if self.draft is None:
            (progress,) = tf.while_loop(more, run(1), [progress])
            return progress.rows, progress.decoded

        def may_draft(progress: Progress) -> Tensor:
            return progress.has_draft & (progress.rows.credit > 0)

        # Loops update the cache in place. XLA would copy it for a condition within one loop.
        def both(progress: Progress) -> list[Progress]:
            single = tf.while_loop(lambda p: more(p) & ~may_draft(p), run(1), [progress])
            return tf.while_loop(lambda p: more(p) & may_draft(p), run(self._pass.width), single)

        (progress,) = tf.while_loop(more, both, [progress])
        return progress.rows, progress.decoded

    def _after_prompts(
        self, token_ids: Tensor, lengths: Tensor, is_done: Tensor, seen: Tensor, cache: Cache
    ) -> Rows:
        """Returns the state after prompts.

        The last token of each runs again, as one of a single position: the cache is by position.
        """
        last = tf.gather(token_ids, lengths - 1, batch_dims=1)
        texts, credit = self._texts(token_ids), tf.constant(FIRST_CREDIT)
        return Rows(last, lengths - 1, is_done, seen, texts, credit, cache)

    def _decoding_weights(self) -> Any:
        variables = iter(self.variables)
        return tf.nest.map_structure(
            lambda exists: tf.convert_to_tensor(next(variables)) if exists else None,
            self._structure,
        )


def round_up(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Returns the smallest of some sizes that is not below `x`.

    Args:
        x: An integer scalar, at most the largest size.
        sizes: The sizes, in rising order.
    """
    return tf.constant(sizes)[tf.searchsorted(tf.constant(sizes), x[None])[0]]
