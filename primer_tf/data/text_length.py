"""The length of a text, apart from any vocabulary."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class TextLength:
    """The length of a text, by which models of different vocabularies compare.

    Attributes:
        num_bytes: Number of bytes in UTF-8.
        num_words: Number of words, which are separated by white space.

    Example:

    >>> from primer_tf.data import TextLength
    >>> TextLength.of(["In the beginning", "God"])
    TextLength(num_bytes=19, num_words=4)
    """

    num_bytes: int
    num_words: int

    def __add__(self, other: "TextLength") -> "TextLength":
        return TextLength(self.num_bytes + other.num_bytes, self.num_words + other.num_words)

    @classmethod
    def of(cls, documents: Iterable[str]) -> "TextLength":
        """Returns the length of some documents.

        Args:
            documents: The documents, which are read once.
        """
        num_bytes = num_words = 0
        for document in documents:
            num_bytes += len(document.encode("utf-8"))
            num_words += len(document.split())
        return cls(num_bytes, num_words)
