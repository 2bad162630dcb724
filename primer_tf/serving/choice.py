"""A completion while it grows: text, stop strings and log probabilities."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from primer_tf.serving.continuous_batching import Tokens
from primer_tf.serving.vocabulary import Vocabulary

# What a token leaves that is only a part of a character.
_INCOMPLETE = "\ufffd"


@dataclasses.dataclass
class Part:
    """What a completion has more than before.

    Args:
        text: The text.
        logprobs: OpenAI's `logprobs` of its tokens, or `None` if nobody asked for them.
        finish_reason: `"stop"`, `"length"`, or `None` while there may be more.
    """

    text: str
    logprobs: dict[str, list] | None
    finish_reason: str | None


class Choice:
    """Turns the tokens of a completion into text.

    Text that may still change is held back: the bytes of an incomplete character, and what may be
    the beginning of a stop string.

    Args:
        vocabulary: The vocabulary.
        prompt_ids: The tokens of the prompt.
        stops: Strings that end the text, and are not part of it.
        num_alternatives: Number of alternatives to tell for each token, or `None` to tell no log
            probabilities.
        offset: Number of characters before the completion. Defaults to 0.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        prompt_ids: Sequence[int],
        stops: Sequence[str],
        num_alternatives: int | None,
        offset: int = 0,
    ) -> None:
        self._vocabulary = vocabulary
        self._token_ids = list(prompt_ids)
        self._start = len(vocabulary.decode(prompt_ids))
        self._stops = stops
        self._num_alternatives = num_alternatives
        self._offset = offset
        self._text = ""
        self._sent = 0
        self._logprobs: list[tuple[int, dict[str, Any]]] = []  # with the end of each token's text

    def add(self, tokens: Tokens) -> Part:
        """Returns what more can be told after some tokens."""
        if self._num_alternatives is None:
            self._append(tokens.token_ids)
        else:
            for token_id, value, alternatives in zip(
                tokens.token_ids, tokens.log_probabilities, tokens.alternatives, strict=True
            ):
                before = len(self._text)
                self._append([token_id])
                entry = logprobs_entry(self._vocabulary, token_id, value, alternatives)
                start = min(before, len(self._text))
                self._logprobs.append((len(self._text), {**entry, "text_offset": start}))
        found = min((i for s in self._stops if (i := self._text.find(s)) >= 0), default=-1)
        if found >= 0:
            told = sum(entry["text_offset"] < found for _, entry in self._logprobs)
            return self._part(found, told, "stop")
        if tokens.finish_reason is not None:
            return self._part(len(self._text), len(self._logprobs), tokens.finish_reason)
        end = len(self._text.rstrip(_INCOMPLETE))
        end = max(self._sent, min([end, *(_start_of(stop, self._text) for stop in self._stops)]))
        return self._part(end, sum(stop <= end for stop, _ in self._logprobs), None)

    def _append(self, token_ids: Sequence[int]) -> None:
        self._token_ids += token_ids
        self._text = self._vocabulary.decode(self._token_ids)[self._start :]

    def _part(self, end: int, told: int, reason: str | None) -> Part:
        """Returns the text up to a position, with the log probabilities of some tokens."""
        text, self._sent = self._text[self._sent : end], end
        if self._num_alternatives is None:
            return Part(text, None, reason)
        entries = [entry for _, entry in self._logprobs[:told]]
        self._logprobs = self._logprobs[told:]
        entries = [{**e, "text_offset": e["text_offset"] + self._offset} for e in entries]
        return Part(text, collect(entries), reason)


def _start_of(stop: str, text: str) -> int:
    """Returns where the text ends with the beginning of a stop string, or its length."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return len(text) - size
    return len(text)


def logprobs_entry(
    vocabulary: Vocabulary, token_id: int, value: float, alternatives: list[tuple[int, float]]
) -> dict[str, Any]:
    """Returns what OpenAI's `logprobs` tells of one token, without the offset.

    Args:
        vocabulary: The vocabulary.
        token_id: The token.
        value: Its log probability.
        alternatives: The most probable tokens and their log probabilities.
    """
    token = vocabulary.token(token_id)
    top = {vocabulary.token(each): number for each, number in alternatives}
    return {"tokens": token, "token_logprobs": value, "top_logprobs": {token: value, **top}}


def collect(entries: list[dict[str, Any]]) -> dict[str, list]:
    """Returns one list for each key of the entries of tokens."""
    keys = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
    return {key: [entry[key] for entry in entries] for key in keys}
