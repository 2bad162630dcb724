"""Signatures that take token ids and need no operation beyond TensorFlow's own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from primer_tf.export.cache_tensors import CacheTensors
from primer_tf.export.checks import after, check, check_not_empty, check_rows
from primer_tf.export.decoding import Decoder
from primer_tf.export.generation import Completions, complete
from primer_tf.export.request_settings import (
    Defaults,
    check_new_tokens,
    check_sampling,
    for_each_row,
)
from primer_tf.export.sampling import SamplingSettings
from primer_tf.export.scoring import TokenScores, mean_and_last, score_tokens
from primer_tf.models import PrimerCausalLM
from primer_tf.types import Cache, Tensor

IDS = tf.TensorSpec([None, None], tf.int32, "token_ids")
LENGTHS = tf.TensorSpec([None], tf.int32, "lengths")
# Most tokens that `decode` returns beside the one it chose; `score_prompt` returns as many.
MAX_ALTERNATIVES = 20

Outputs = dict[str, Tensor]
# The functions of a SavedModel and the specs of their inputs, by the names of the signatures.
Signatures = dict[str, tuple[Callable[..., Outputs], list[Any]]]


class IdSignatures:
    """The signatures on token ids; each row has a start token first and is padded on the right.

    Args:
        model: A `PrimerCausalLM`.
        decoder: Its `Decoder`.
        max_length: Largest number of tokens of prompt and completion.
        defaults: The settings of requests that give none.
    """

    def __init__(
        self, model: PrimerCausalLM, decoder: Decoder, max_length: int, defaults: Defaults
    ) -> None:
        self._model = model
        self._decoder = decoder
        self._max_length = max_length
        self._defaults = defaults
        self._vocabulary_size = model.backbone.vocabulary_size
        self._max_alternatives = min(MAX_ALTERNATIVES, self._vocabulary_size)
        self._cache = CacheTensors(model)

    def signatures(self) -> Signatures:
        """Returns all signatures on token ids."""
        prompt_lengths = tf.TensorSpec([None], tf.int32, "prompt_lengths")
        return {
            "generate_ids": (self.generate_ids(), [IDS, LENGTHS, *self._defaults.specs()]),
            "score_ids": (self.score_ids, [IDS, prompt_lengths, LENGTHS]),
            "embed_ids": (self.embed_ids, [IDS, LENGTHS]),
            **self.stepwise_signatures(),
        }

    def stepwise_signatures(self) -> Signatures:
        """Returns the signatures for servers that batch continuously."""
        last = [tf.TensorSpec([None], tf.int32, name) for name in ("token_ids", "positions")]
        scalars = [tf.TensorSpec([], tf.int32, name) for name in ("steps", "num_alternatives")]
        sampling = [spec for spec in self._defaults.specs() if spec.name != "max_new_tokens"]
        seen = tf.TensorSpec([None, None], tf.int32, "seen_ids")
        step = _by_name(last) | self._cache.specs()
        decode = [*scalars, *sampling, seen]
        if self._decoder.draft is not None:
            decode.append(tf.TensorSpec([], tf.float32, "draft_credit"))
        return {
            "prefill": (self.prefill, [IDS, LENGTHS, tf.TensorSpec([], tf.int32, "cache_length")]),
            "decode_step": (self.decode_step, [step]),
            "decode": (self.decode, [step | _by_name(decode)]),
            "score_prompt": (self.score_prompt, [IDS, LENGTHS]),
        }

    def generate_ids(self) -> Callable[..., Outputs]:
        """Returns the function that completes prompts."""
        defaults = self._defaults.tensors()

        # Tensors as default values of arguments become the defaults of a signature's inputs.
        def generate_ids(
            token_ids,
            lengths,
            max_new_tokens=defaults.max_new_tokens,
            temperature=defaults.temperature,
            top_k=defaults.top_k,
            top_p=defaults.top_p,
            repetition_penalty=defaults.repetition_penalty,
            seed=defaults.seed,
        ):
            token_ids, lengths = self.check_ids(token_ids, lengths)
            settings = Defaults(max_new_tokens, temperature, top_k, top_p, repetition_penalty, seed)
            return completion_outputs(self.complete(token_ids, lengths, settings))

        return generate_ids

    def complete(
        self, token_ids: Tensor, lengths: Tensor, settings: Defaults, **kwargs: Any
    ) -> Completions:
        """Completes checked prompts with settings that are checked here; see `complete`."""
        new = check_new_tokens(settings.max_new_tokens, lengths, self._max_length)
        sampling, seeds = self._check_sampling(settings._asdict(), tf.shape(lengths)[0])
        return complete(self._decoder, token_ids, lengths, new, sampling, seeds, **kwargs)

    def score_ids(self, token_ids: Tensor, prompt_lengths: Tensor, lengths: Tensor) -> Outputs:
        """Scores the tokens from `prompt_lengths` to `lengths`."""
        token_ids, lengths = self.check_ids(token_ids, lengths, room=0)
        prompt_lengths = for_each_row("prompt_lengths", prompt_lengths, tf.shape(lengths)[0])
        is_right = check_rows(
            (prompt_lengths >= 1) & (prompt_lengths < lengths),
            lambda row: tf.strings.format(
                "prompt_lengths[{}] is {}, but must be from 1 to below the length {}",
                (row, prompt_lengths[row], lengths[row]),
            ),
        )
        (prompt_lengths,) = after([is_right], prompt_lengths)
        position = tf.range(tf.shape(token_ids)[1])
        is_scored = (position >= prompt_lengths[:, None]) & (position < lengths[:, None])
        scores = score_tokens(self._model, token_ids, is_scored)
        return score_outputs(scores, lengths - prompt_lengths)

    def score_prompt(self, token_ids: Tensor, lengths: Tensor) -> Outputs:
        """Scores all tokens but the start token, with alternatives."""
        token_ids, lengths = self.check_ids(token_ids, lengths, room=0)
        position = tf.range(tf.shape(token_ids)[1])
        is_scored = (position >= 1) & (position < lengths[:, None])
        scores = score_tokens(self._model, token_ids, is_scored, self._max_alternatives)
        return {
            "log_probabilities": scores.log_probabilities,
            "alternative_ids": scores.alternative_ids,
            "alternative_log_probabilities": scores.alternative_log_probabilities,
        }

    def embed_ids(self, token_ids: Tensor, lengths: Tensor) -> Outputs:
        """Returns hidden states."""
        token_ids, lengths = self.check_ids(token_ids, lengths, room=0)
        is_right = check_rows(
            lengths > 1,
            lambda row: tf.strings.format("token_ids[{}] has only a start token", row),
        )
        (lengths,) = after([is_right], lengths)
        mean, last = mean_and_last(self._model, token_ids, lengths)
        return {"mean": mean, "last": last}

    def prefill(self, token_ids: Tensor, lengths: Tensor, cache_length: Tensor) -> Outputs:
        """Runs prompts; returns the logits of the next tokens and the cache."""
        token_ids, lengths = self.check_ids(token_ids, lengths)
        longest = tf.reduce_max(lengths)
        has_room = check(
            (cache_length >= longest) & (cache_length <= self._max_length),
            lambda: tf.strings.format(
                f"cache_length is {{}}, but must be from the {{}} tokens of the longest prompt to "
                f"{self._max_length}",
                (cache_length, longest),
            ),
        )
        (cache_length,) = after([has_room], cache_length)
        states, cache = self._decoder.prefill(token_ids, lengths, cache_length)
        logits = self._model._logits(states)
        return {"logits": tf.cast(logits, tf.float32), **self._cache.as_dict(cache)}

    def decode_step(self, inputs: dict[str, Tensor]) -> Outputs:
        """Runs one more token of each row; returns the logits of the next ones and the cache."""
        cache = self._own_cache(inputs)
        token_ids, positions = self._check_step(inputs, cache, tf.constant(1))
        logits, cache = self._model.decode_step(token_ids, positions, cache)
        return {"logits": tf.cast(logits, tf.float32), **self._cache.as_dict(cache)}

    def decode(self, inputs: dict[str, Tensor]) -> Outputs:
        """Runs several steps with sampling; returns the tokens and the cache."""
        cache, steps = self._own_cache(inputs), inputs["steps"]
        token_ids, positions = self._check_step(inputs, cache, steps)
        batch_size = tf.shape(token_ids)[0]
        sampling, seeds = self._check_sampling(inputs, batch_size)
        seen_ids = for_each_row("seen_ids", inputs["seen_ids"], batch_size)
        count = inputs["num_alternatives"]
        checks = [
            self._check_vocabulary("seen_ids", seen_ids, least=-1),
            check(
                (count >= 0) & (count <= MAX_ALTERNATIVES),
                lambda: tf.strings.format(
                    f"num_alternatives is {{}}, but must be from 0 to {MAX_ALTERNATIVES}", count
                ),
            ),
        ]
        seen_ids, count = after(checks, seen_ids, count)
        is_done = positions + 1 >= self._max_length
        credit = inputs.get("draft_credit", 0.0)
        rows = self._decoder.rows(token_ids, positions, is_done, seen_ids, cache, credit)
        ends = tf.fill([batch_size], self._max_length)
        numbers = self._decoder.random_numbers(seeds)
        rows, decoded = tf.cond(
            count > 0,
            lambda: self._decoder(rows, steps, ends, sampling, numbers, self._max_alternatives),
            lambda: self._decoder(rows, steps, ends, sampling, numbers),
        )
        return {
            "token_ids": decoded.token_ids,
            "log_probabilities": decoded.log_probabilities,
            "alternative_ids": decoded.alternative_ids[:, :, :count],
            "alternative_log_probabilities": decoded.alternative_log_probabilities[:, :, :count],
            **self._cache.as_dict(rows.cache),
            **({} if self._decoder.draft is None else {"draft_credit": rows.credit}),
        }

    def check_ids(self, token_ids: Tensor, lengths: Tensor, room: int = 1) -> tuple[Tensor, Tensor]:
        """Checks texts given as token ids.

        Args:
            token_ids: `[B, T]` integers.
            lengths: `[B]` or `[1]` integers.
            room: Number of tokens that a text must leave room for. Defaults to 1.

        Returns:
            `(token_ids, lengths)`: `[B, T]` with the pad token after the lengths and `T` the
            largest of them, and `[B]`.
        """
        (token_ids,) = after([check_not_empty("token_ids", token_ids)], token_ids)
        lengths = for_each_row("lengths", lengths, tf.shape(token_ids)[0])
        size, limit = tf.shape(token_ids)[1], self._max_length - room
        checks = [
            check_rows(
                (lengths >= 1) & (lengths <= size),
                lambda row: tf.strings.format(
                    "lengths[{}] is {}, but must be from 1 to the {} ids of a row",
                    (row, lengths[row], size),
                ),
            ),
            check_rows(
                lengths <= limit,
                lambda row: tf.strings.format(
                    f"token_ids[{{}}] has {{}} tokens, but at most {limit} have room; shorten it",
                    (row, lengths[row]),
                ),
            ),
        ]
        (lengths,) = after(checks, lengths)
        is_text = tf.sequence_mask(lengths, size)
        token_ids = tf.where(is_text, token_ids, self._decoder.pad_token_id)
        token_ids = token_ids[:, : tf.reduce_max(lengths)]
        (token_ids,) = after([self._check_vocabulary("token_ids", token_ids)], token_ids)
        return token_ids, lengths

    def _own_cache(self, inputs: Mapping[str, Tensor]) -> Cache:
        """Returns a client's cache, as a copy if steps write in place."""
        cache = self._cache.as_cache(inputs)
        if self._decoder.jit_compile:
            return cache
        return tf.nest.map_structure(lambda tensor: tf.raw_ops.DeepCopy(x=tensor), cache)

    def _check_sampling(
        self, settings: Mapping[str, Tensor], batch_size: Tensor
    ) -> tuple[SamplingSettings, Tensor]:
        return check_sampling(settings, batch_size, self._vocabulary_size)

    def _check_vocabulary(self, name: str, token_ids: Tensor, least: int = 0) -> Tensor:
        most = self._vocabulary_size - 1
        return check_rows(
            tf.reduce_all((token_ids >= least) & (token_ids <= most), axis=1),
            lambda row: tf.strings.format(
                f"{name}[{{}}] has an id outside the vocabulary, which ends at {most}", row
            ),
        )

    def _check_step(
        self, inputs: Mapping[str, Tensor], cache: Cache, steps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the checked last tokens and positions of rows that run some more steps."""
        token_ids, positions = inputs["token_ids"], inputs["positions"]
        batch_size = tf.shape(token_ids)[0]
        have_rows = [
            tf.shape(each)[0] == batch_size for each in (positions, *tf.nest.flatten(cache))
        ]
        checks = [
            check_not_empty("token_ids", token_ids),
            check(
                tf.reduce_all(tf.stack(have_rows)),
                lambda: tf.constant("token_ids, positions and the cache differ in their rows"),
            ),
            check(
                steps >= 1, lambda: tf.strings.format("steps is {}, but must be 1 or more", steps)
            ),
        ]
        token_ids, positions = after(checks, token_ids, positions)
        # A text of the maximum length is done, and needs no more room.
        last = tf.minimum(positions + steps, self._max_length) - 1
        size = self._cache.length(cache)
        checks = [
            self._check_vocabulary("token_ids", token_ids[:, None]),
            check_rows(
                (positions >= 0) & (positions < self._max_length) & (last < size),
                lambda row: tf.strings.format(
                    "positions[{}] is {}, but the cache has room for {} positions",
                    (row, positions[row], size),
                ),
            ),
        ]
        token_ids, positions = after(checks, token_ids, positions)
        return token_ids, positions


def _by_name(specs: Sequence[tf.TensorSpec]) -> dict[str, tf.TensorSpec]:
    return {spec.name: spec for spec in specs}


def completion_outputs(completions: Completions) -> Outputs:
    """Returns what the signatures say about new tokens."""
    return {
        "token_ids": completions.token_ids,
        "new_tokens": tf.reduce_sum(tf.cast(completions.is_new, tf.int32), axis=1),
        "finish_reason": tf.where(completions.is_stopped, "stop", "length"),
        "log_probability": tf.reduce_sum(completions.log_probabilities, axis=1),
        "token_log_probabilities": completions.log_probabilities,
    }


def score_outputs(scores: TokenScores, counts: Tensor) -> Outputs:
    """Returns what the signatures say about scored tokens; `counts` is `[B]`."""
    return {
        "log_likelihood": tf.reduce_sum(scores.log_probabilities, axis=1),
        "is_greedy": tf.reduce_all(scores.is_greedy, axis=1),
        "token_count": counts,
        "token_log_probabilities": scores.log_probabilities,
    }
