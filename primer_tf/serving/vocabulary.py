"""The vocabulary in an export's folder."""

from collections.abc import Sequence
from pathlib import Path

import sentencepiece

_SPACE = "\u2581"


class Vocabulary:
    """Turns texts into token ids and back, as the signatures on texts do.

    Args:
        path: The SentencePiece model.
        start_token_id: The token before every text.
        special_token_ids: The tokens that are no text.
    """

    def __init__(self, path: Path, start_token_id: int, special_token_ids: Sequence[int]) -> None:
        self._model = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self._start_token_id = start_token_id
        self._special = frozenset(special_token_ids)

    def encode(self, text: str) -> list[int]:
        """Returns the start token and the tokens of a text."""
        return [self._start_token_id, *self._model.encode(text)]

    def decode(self, token_ids: Sequence[int]) -> str:
        """Returns the text of tokens."""
        size, unknown = self._model.vocab_size(), self._model.unk_id()
        known = [i if i < size else unknown for i in token_ids if i not in self._special]
        return self._model.decode(known)

    def token(self, token_id: int) -> str:
        """Returns a token by itself, with its space; a byte of a character is `<0xE2>`."""
        if token_id >= self._model.vocab_size():
            return self._model.id_to_piece(self._model.unk_id())
        return self._model.id_to_piece(token_id).replace(_SPACE, " ")
