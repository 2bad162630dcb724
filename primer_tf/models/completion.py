"""Text that grows token by token."""

from collections.abc import Iterable, Sequence

import sentencepiece

from primer_tf.models.primer_tokenizer import PrimerTokenizer


class Detokenizer:
    """Turns the ids of any number of texts into text, without TensorFlow.

    Args:
        tokenizer: The `PrimerTokenizer`.
    """

    def __init__(self, tokenizer: PrimerTokenizer) -> None:
        self.tokenizer = tokenizer
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.proto)

    def __call__(self, ids: Iterable[int]) -> str:
        """Returns the text of ids, without special tokens; half a character becomes U+FFFD."""
        special = set(self.tokenizer.special_token_ids)
        known = self.tokenizer._known_ids([i for i in ids if i not in special])
        return self._processor.decode(known)


class Completion:
    """A prompt and the text that a model writes after it.

    Args:
        detokenizer: The `Detokenizer` of the model.
        prompt_ids: The ids of the prompt.
        stop: Texts before which the completion ends; of several, the one that is complete first.
            Defaults to none.

    Attributes:
        prompt: The prompt as the model reads it.
        finish_reason: `"stop"` if the end token or a stop text came, `"length"` if there was no
            room for more, and `None` while the text grows.
    """

    def __init__(
        self, detokenizer: Detokenizer, prompt_ids: Iterable[int], stop: Sequence[str] = ()
    ) -> None:
        self.finish_reason: str | None = None
        self._detokenizer = detokenizer
        self._ids = list(prompt_ids)
        self._stop = stop
        self._text = self.prompt = detokenizer(self._ids)
        self._settled = len(self._text)

    @property
    def text(self) -> str:
        """The prompt and the completion, as far as they are certain."""
        return self._text[: self._settled]

    @property
    def completion(self) -> str:
        """The completion, as far as it is certain."""
        return self.text[len(self.prompt) :]

    def add(self, ids: Iterable[int]) -> str:
        """Adds tokens, of which those after the end of the text do not count.

        Args:
            ids: The next ids.

        Returns:
            The text that has become certain.
        """
        settled = self._settled
        for token in ids:
            if self.finish_reason is None:
                self._add(token)
        return self._text[settled : self._settled]

    def _add(self, token: int) -> None:
        if token == self._detokenizer.tokenizer.end_token_id:
            self._finish("stop")
            return
        self._ids.append(token)
        # Bytes at the end may be the beginning of a character.
        self._text = self._detokenizer(self._ids).rstrip("\ufffd")
        if self._cut_at_stop():
            return
        # The end of the text may be the beginning of a stop text.
        held = max((_overlap(self._text[self._settled :], stop) for stop in self._stop), default=0)
        self._settled = max(self._settled, len(self._text) - held)

    def finish(self) -> str:
        """Ends the text where there is no room for more; returns what has become certain."""
        settled = self._settled
        if self.finish_reason is None:
            self._finish("length")
        return self._text[settled : self._settled]

    def _finish(self, reason: str) -> None:
        self._text = self._detokenizer(self._ids)
        self.finish_reason = reason
        if not self._cut_at_stop():
            self._settled = len(self._text)

    def _cut_at_stop(self) -> bool:
        # Text that is certain is not even the beginning of a stop text.
        starts = [(stop, self._text.find(stop, self._settled)) for stop in self._stop]
        found = [(start + len(stop), start) for stop, start in starts if start >= 0]
        if not found:
            return False
        _, start = min(found)
        self._text, self._settled, self.finish_reason = self._text[:start], start, "stop"
        return True


def _overlap(text: str, stop: str) -> int:
    """Returns the length of the longest end of a text with which a stop text begins."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
