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
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=vocabulary)
        large = self._processor.get_piece_size() > 2**16
        self.dtype = np.dtype("<u4" if large else "<u2")  # little-endian wherever they are written
        end = [self._processor.eos_id()] if end_tokens else []
        self._end = np.array(end, self.dtype)

    def __call__(self, pieces: Sequence["Piece"]) -> TokenizedText:
        """Returns the tokens of documents.

        Args:
            pieces: The documents in pieces.
        """
        content = joined(pieces)
        parts, ends, num_tokens = [], [], 0
        for piece, ids in zip(pieces, self._ids(pieces), strict=True):
            parts.append(ids.astype(self.dtype))
            num_tokens += len(ids)
            if piece.last:
                parts.append(self._end)
                num_tokens += len(self._end)
                ends.append(num_tokens)
        num_bytes = len(content) - len(ends) * len(END)
        return TokenizedText(
            np.concatenate(parts) if parts else np.empty(0, self.dtype),
            np.array(ends, "<i8"),
            TextLength(num_bytes, count_words(pieces, content)),
            hashlib.sha256(content).digest(),
        )

    def _ids(self, pieces: Sequence["Piece"]) -> Iterator[np.ndarray]:
        texts = [_with_prefix(piece) for piece in pieces]
        rows = self._processor.encode([t or "" for t in texts], return_type="numpy", num_threads=1)
        for piece, text, ids in zip(pieces, texts, rows, strict=True):
            if text is None:
                ids = self._without_prefix.encode(piece.text, return_type="numpy")
            yield ids

    @cached_property
    def _without_prefix(self) -> sentencepiece.SentencePieceProcessor:
        """The same model, which adds no space before a text."""
        from sentencepiece import sentencepiece_model_pb2

        model = sentencepiece_model_pb2.ModelProto.FromString(  # type: ignore[attr-defined]
            self.vocabulary
        )
        model.normalizer_spec.add_dummy_prefix = False
        return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())


def _with_prefix(piece: "Piece") -> str | None:
    """Returns what SentencePiece, which adds a space before a text, is to be given for a piece.

    `None` means that no space may be added.
    """
    if piece.first:
        return piece.text
    return piece.text[1:] if piece.text[:1] == " " else None


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


def joined(pieces: Iterable["Piece"]) -> bytes:
    """Returns documents in UTF-8, each with a byte at its end that occurs in no text."""
    return b"".join(p.text.encode("utf-8") + (END if p.last else b"") for p in pieces)


def text_digest(pieces: Iterable["Piece"]) -> bytes:
    """Returns a digest of documents in pieces."""
    return hashlib.sha256(joined(pieces)).digest()


def count_words(pieces: Sequence["Piece"], content: bytes) -> int:
    """Returns the number of words that start in documents; they are separated by white space.

    Args:
        pieces: The documents in pieces, each of which is a whole document or follows its start.
        content: What `joined` returns of them.
    """
    if not content:
        return 0
    if all(piece.text.isascii() for piece in pieces):
        is_space = _is_space(np.frombuffer(content, np.uint8))  # much faster than `split`
        words = int(np.count_nonzero(is_space[:-1] > is_space[1:])) + (not is_space[0])
        within = pieces[:1]
    else:
        words = sum(len(piece.text.split()) for piece in pieces)
        within = pieces
    # The rest of a word is none.
    return words - sum(not p.first and not p.text[:1].isspace() for p in within)


def _is_space(codes: np.ndarray) -> np.ndarray:
    """Returns whether bytes of ASCII, or ends of documents, separate words.

    White space has the codes 9 to 13 and 28 to 32. Bytes below the first wrap to large numbers.
    """
    return (codes - 9 < 5) | (codes - 28 < 5) | (codes == END[0])


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
