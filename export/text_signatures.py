"""Signatures that take text and return text."""

import math
from collections.abc import Callable

import tensorflow as tf

from primer_tf.export.checks import after, check_rows, check_texts
from primer_tf.export.generation import StopStrings
from primer_tf.export.id_signatures import (
    IdSignatures,
    Outputs,
    Signatures,
    completion_outputs,
    score_outputs,
)
from primer_tf.export.request_settings import Defaults, for_each_row
from primer_tf.export.sampler_search import complete_by_sampler
from primer_tf.export.scoring import mean_and_last, score_tokens
from primer_tf.export.stop_strings import find_first
from primer_tf.export.token_texts import token_texts
from primer_tf.models import PrimerCausalLM
from primer_tf.types import Tensor


class TextSignatures:
    """The signatures on texts.

    Args:
        model: A compiled `PrimerCausalLM` with a preprocessor.
        ids: The signatures on token ids of the same model.
        max_length: Largest number of tokens of prompt and completion.
        defaults: The settings of requests that give none.
        by_sampler: Whether `serving_default` completes prompts with the model's sampler instead.
    """

    def __init__(
        self,
        model: PrimerCausalLM,
        ids: IdSignatures,
        max_length: int,
        defaults: Defaults,
        by_sampler: bool,
    ) -> None:
        self._model = model
        self._ids = ids
        self._max_length = max_length
        self._defaults = defaults
        self._by_sampler = by_sampler
        assert model.preprocessor is not None  # `export_saved_model` checks it
        self._tokenizer = model.preprocessor.tokenizer
        # A SavedModel finds the vocabulary by following attributes.
        self.sentence_piece = self._tokenizer._sentence_piece
        self._token_texts = token_texts(self._tokenizer, model.backbone.vocabulary_size)

    def signatures(self) -> Signatures:
        """Returns all signatures on texts."""
        prompts, texts, continuations = (
            tf.TensorSpec([None], tf.string, name) for name in ("prompts", "texts", "continuations")
        )
        stop = tf.TensorSpec([None, None], tf.string, "stop")
        return {
            "serving_default": (self.serving_default, [prompts]),
            "generate": (self.generate(), [prompts, *self._defaults.specs(), stop]),
            "score": (self.score, [prompts, continuations]),
            "embed": (self.embed, [texts]),
        }

    def serving_default(self, prompts: Tensor) -> Outputs:
        """Completes prompts with the sampler that was chosen at the export."""
        prompt_ids, lengths = self._tokenize("prompts", check_texts("prompts", prompts))
        if self._by_sampler:
            end = self._tokenizer.end_token_id
            whole = complete_by_sampler(self._model, prompt_ids, self._max_length, end)
            return {"texts": self._detokenize(whole)}
        done = self._ids.complete(prompt_ids.to_tensor(), lengths, self._defaults.tensors())
        new = tf.ragged.boolean_mask(done.token_ids, done.is_new)
        return {"texts": self._detokenize(tf.concat([prompt_ids, new], axis=1))}

    def generate(self) -> Callable[..., Outputs]:
        """Returns the function that completes prompts with the settings of the request."""
        defaults, no_stop = self._defaults.tensors(), tf.constant([[""]])

        # Tensors as default values of arguments become the defaults of a signature's inputs.
        def generate(
            prompts,
            max_new_tokens=defaults.max_new_tokens,
            temperature=defaults.temperature,
            top_k=defaults.top_k,
            top_p=defaults.top_p,
            repetition_penalty=defaults.repetition_penalty,
            seed=defaults.seed,
            stop=no_stop,
        ):
            prompts = check_texts("prompts", prompts)
            prompt_ids, lengths = self._tokenize("prompts", prompts)
            stop = for_each_row("stop", stop, tf.shape(lengths)[0])
            done = self._ids.complete(
                prompt_ids.to_tensor(),
                lengths,
                Defaults(max_new_tokens, temperature, top_k, top_p, repetition_penalty, seed),
                stop=StopStrings(stop, tf.constant(self._token_texts)),
            )
            new = tf.ragged.boolean_mask(done.token_ids, done.is_new)
            prompts = self._detokenize(prompt_ids)
            texts = self._detokenize(tf.concat([prompt_ids, new], axis=1))
            size = tf.strings.length(prompts)
            completions = tf.strings.substr(texts, size, tf.strings.length(texts) - size)
            completions, found = _cut(completions, stop)
            # Bytes that are no UTF-8 become U+FFFD only in the whole text.
            done = done._replace(is_stopped=done.is_stopped | found)
            return {
                "texts": tf.strings.join([prompts, completions]),
                "completions": completions,
                **completion_outputs(done),
            }

        return generate

    def score(self, prompts: Tensor, continuations: Tensor) -> Outputs:
        """Scores continuations of prompts; both together are one text."""
        prompts = check_texts("prompts", prompts, may_be_empty=True)
        continuations = check_texts("continuations", continuations)
        continuations = for_each_row("continuations", continuations, tf.shape(prompts)[0])
        prompt_ids, _ = self._tokenize("prompts", prompts, room=0)
        whole = tf.strings.join([prompts, continuations])
        token_ids, lengths = self._tokenize("prompts and continuations", whole, room=0)
        token_ids = token_ids.to_tensor(self._tokenizer.pad_token_id)
        # What both begin with: a token across the border belongs to the continuation.
        same = tf.equal(prompt_ids.to_tensor(-1, shape=tf.shape(token_ids)), token_ids)
        prompt_lengths = tf.reduce_sum(tf.math.cumprod(tf.cast(same, tf.int32), axis=1), axis=1)
        position = tf.range(tf.shape(token_ids)[1])
        is_scored = (position >= prompt_lengths[:, None]) & (position < lengths[:, None])
        scores = score_tokens(self._model, token_ids, is_scored)
        outputs = score_outputs(scores, lengths - prompt_lengths)
        num_bytes = tf.cast(tf.strings.length(continuations), tf.float32)
        bits = -outputs["log_likelihood"] / math.log(2)
        return {**outputs, "bits_per_byte": bits / num_bytes}

    def embed(self, texts: Tensor) -> Outputs:
        """Returns hidden states of texts."""
        token_ids, lengths = self._tokenize("texts", check_texts("texts", texts), room=0)
        is_right = check_rows(
            lengths > 1, lambda row: tf.strings.format("texts[{}] has no tokens", row)
        )
        (lengths,) = after([is_right], lengths)
        dense = token_ids.to_tensor(self._tokenizer.pad_token_id)
        mean, last = mean_and_last(self._model, dense, lengths)
        return {"mean": mean, "last": last}

    def _tokenize(self, name: str, texts: Tensor, room: int = 1) -> tuple[tf.RaggedTensor, Tensor]:
        """Turns checked texts into tokens.

        Args:
            name: The name of the input.
            texts: `[B]` strings.
            room: Number of tokens that a text must leave room for. Defaults to 1.

        Returns:
            `(token_ids, lengths)`: ragged `[B, T]` integers with the start token first, and `[B]`.
        """
        token_ids = tf.cast(self.sentence_piece.tokenize(texts), tf.int32)
        start = tf.fill([tf.shape(texts)[0], 1], self._tokenizer.start_token_id)
        token_ids = tf.concat([start, token_ids], axis=1)
        lengths, limit = tf.cast(token_ids.row_lengths(), tf.int32), self._max_length - room
        is_right = check_rows(
            lengths <= limit,
            lambda row: tf.strings.format(
                f"{name}[{{}}] has {{}} tokens, but at most {limit} have room; shorten it",
                (row, lengths[row]),
            ),
        )
        (lengths,) = after([is_right], lengths)
        return token_ids, lengths

    def _detokenize(self, token_ids: tf.RaggedTensor) -> Tensor:
        for special in set(self._tokenizer.special_token_ids):
            token_ids = tf.ragged.boolean_mask(token_ids, token_ids != special)
        return self.sentence_piece.detokenize(self._tokenizer._known_ids(token_ids))


def _cut(completions: Tensor, stop: Tensor) -> tuple[Tensor, Tensor]:
    """Returns completions up to their stop strings, and whether they had one, both `[B]`."""

    def cut() -> tuple[Tensor, Tensor]:
        found, start = find_first(completions, stop)
        ends = tf.where(found, start, tf.strings.length(completions))
        return tf.strings.substr(completions, tf.zeros_like(ends), ends), found

    none = tf.zeros(tf.shape(completions), tf.bool)
    return tf.cond(tf.reduce_all(stop == ""), lambda: (completions, none), cut)
