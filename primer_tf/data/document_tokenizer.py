"""Documents as token ids."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import sentencepiece

from primer_tf.data.text_length import TextLength

if TYPE_CHECKING:
    from primer_tf.tasks.text_files import Piece

# A byte that occurs in no UTF-8 text ends each document in its digest.
END = b"\xff"

# The number of characters that are tokenized at a time.
BATCH = 2**20


@dataclass(frozen=True)
class TokenizedText:
    """Documents as token ids.

    Attributes:
        tokens: `[N]` ids of all documents, one after the other.
        document_ends: `[D]` places after the last token of each document that ends here.
        length: The `TextLength` of the documents.
        digest: A digest of the text.
    """

    tokens: np.ndarray
    document_ends: np.ndarray
    length: TextLength
    digest: bytes


class DocumentTokenizer:
    """Tokenizes documents with SentencePiece, on one thread.

    Args:
        vocabulary: The SentencePiece model.
        end_tokens: Whether each document is followed by the end token. Defaults to `True`.

    Example:

    >>> from primer_tf.data.document_tokenizer import DocumentTokenizer
    >>> from primer_tf.data.vocabulary import train_vocabulary
    >>> from primer_tf.tasks.text_files import Piece
    >>> texts = ["In the beginning God created the heaven and the earth."]
    >>> tokenize = DocumentTokenizer(train_vocabulary(texts, size=280))
    >>> tokenize([Piece("God"), Piece("earth")]).length
    TextLength(num_bytes=8, num_words=2)
    """

    def __init__(self, vocabulary: bytes, end_tokens: bool = True) -> None:
        self.vocabulary = vocabulary
        self.end_tokens = end_tokens
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=vocabulary)
        large = self._processor.get_piece_size() > 2**16
        self.dtype = np.dtype("<u4" if large else "<u2")  # little-endian wherever they are written

    def __call__(self, pieces: Sequence["Piece"]) -> TokenizedText:
        """Returns the tokens of documents.

        Args:
            pieces: The documents in pieces.
        """
        parts, ends = [], []
        num_tokens = num_bytes = num_words = 0
        for piece in pieces:
            ids = self._ids(piece)
            if piece.last and self.end_tokens:
                ids.append(self._processor.eos_id())
            parts.append(np.array(ids, self.dtype))
            num_tokens += len(ids)
            if piece.last:
                ends.append(num_tokens)
            num_bytes += len(piece.text.encode("utf-8"))
            num_words += len(piece.text.split())
            if not piece.first and not piece.text[:1].isspace():
                num_words -= 1  # The rest of a word is none.
        tokens = np.concatenate(parts) if parts else np.empty(0, self.dtype)
        length = TextLength(num_bytes, num_words)
        return TokenizedText(tokens, np.array(ends, "<i8"), length, text_digest(pieces))

    def _ids(self, piece: "Piece") -> list[int]:
        if piece.first:
            return self._processor.encode(piece.text)
        # SentencePiece adds a space before a text, which replaces the one at which this one starts.
        if piece.text[:1] == " ":
            return self._processor.encode(piece.text[1:])
        return self._without_prefix.encode(piece.text)

    @cached_property
    def _without_prefix(self) -> sentencepiece.SentencePieceProcessor:
        """The same model, which adds no space before a text."""
        from sentencepiece import sentencepiece_model_pb2

        model = sentencepiece_model_pb2.ModelProto.FromString(self.vocabulary)
        model.normalizer_spec.add_dummy_prefix = False
        return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())


def tokenize(pieces: Iterable["Piece"], vocabulary: bytes) -> tuple[np.ndarray, TextLength]:
    """Tokenizes documents into memory.

    Args:
        pieces: The documents in pieces.
        vocabulary: The SentencePiece model.

    Returns:
        `(tokens, length)`: `[N]` ids, with an end token after each document, and the `TextLength`.
    """
    tokenizer = DocumentTokenizer(vocabulary)
    parts = [tokenizer(batch) for batch in batches(pieces, BATCH)]
    tokens = [part.tokens.astype(np.int32) for part in parts] or [np.empty(0, np.int32)]
    return np.concatenate(tokens), sum((part.length for part in parts), TextLength(0, 0))


def text_digest(pieces: Iterable["Piece"]) -> bytes:
    """Returns a digest of documents in pieces."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece.text.encode("utf-8"))
        if piece.last:
            digest.update(END)
    return digest.digest()


def batches(pieces: Iterable["Piece"], characters: int) -> Iterator[list["Piece"]]:
    """Yields the pieces in lists of at least so many characters, of which the last may be shorter.

    Args:
        pieces: The pieces.
        characters: The number of characters.
    """
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece.text)
        if size >= characters:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
