"""The part of a text that a vocabulary is trained on."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from primer_tf.data.vocabulary import train_vocabulary

if TYPE_CHECKING:
    from primer_tf.tasks.text import TextSource
    from primer_tf.tasks.text_files import Piece

# SentencePiece needs about 30 times as many bytes of memory.
LARGEST = 2**24
BLOCK = 2**16


def vocabulary_of_text(text: "TextSource", size: int) -> bytes:
    """Trains a vocabulary on the training split of a text, or on parts of it if it is too long.

    Args:
        text: The text.
        size: Number of pieces; see `train_vocabulary`.

    Returns:
        The SentencePiece model, as bytes.

    Raises:
        UserError: The text cannot fill a vocabulary of this size.
    """
    return train_vocabulary(vocabulary_sample(text.pieces("train")), size)


def vocabulary_sample(pieces: Iterable["Piece"], largest: int = LARGEST) -> Iterator[str]:
    """Yields the documents of a text, or parts spread over all of it if it is too long.

    Args:
        pieces: The documents in pieces, which are read once.
        largest: The largest number of characters. Defaults to 16 Mi.
    """
    kept: list[tuple[int, str, bool]] = []
    size, stride = 0, 1
    for number, (block, last) in enumerate(_blocks(pieces)):
        if number % stride == 0:
            kept.append((number, block, last))
            size += len(block)
        while size > largest:
            stride *= 2
            kept = [entry for entry in kept if entry[0] % stride == 0]
            size = sum(len(block) for _, block, _ in kept)
            if len(kept) == 1:
                break
    document: list[str] = []
    for _, block, last in kept:
        document.append(block)
        if last or stride > 1:
            yield "".join(document)
            document = []


def _blocks(pieces: Iterable["Piece"]) -> Iterator[tuple[str, bool]]:
    """Yields parts of documents, and whether a document ends with it."""
    for piece in pieces:
        starts = range(0, len(piece.text), BLOCK)
        for start in starts:
            yield piece.text[start : start + BLOCK], piece.last and start == starts[-1]
