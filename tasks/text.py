"""Text as training data: files, the demo text, and the documents of SeqIO or TFDS.

A source is a string: `demo`, `seqio:TASK`, `tfds:NAME`, or a comma-separated list of files, folders
and globs. The module text_files says what documents `.txt`, `.json`, `.jsonl`, `.jsonl.gz` and
`.parquet` files hold. A folder stands for all such files in it but `.json`, at any depth, except
hidden ones. A path of an existing file or folder is never read as a glob. With the prefix `lm:`, as
in `lm:demo`, the text is cut into chunks as by T5's `lm` objective.
"""

from collections.abc import Iterator
from functools import cached_property

from primer_tf.errors import UserError, errors_of
from primer_tf.installation import install_command
from primer_tf.tasks import kjv
from primer_tf.tasks.text_files import Piece, TextFiles, cut_string

# The share of a text without a validation split that is held out from its end, and the largest
# number of characters: more would take long to evaluate, and say no more.
HELD_OUT = 0.05
MOST_HELD_OUT = 10_000_000

# The prefix of a source that is to be cut into chunks as T5 does.
LM = "lm:"

TEXT_KEYS = ("text", "book_text", "targets")


class TextSource:
    """The documents of a source, as streams: no more than a piece of a document is in memory.

    Args:
        source: A source as described above.
        validation_source: A separate source for the validation split: all of its files, or its
            split `"validation"`. By default the last 5% of the characters of files are held out, at
            most 10 million.

    Raises:
        UserError: A file does not exist. While documents are read: a file is damaged, empty or not
            UTF-8, or the demo text or the packages of T5 are not installed.

    Example:

    >>> from primer_tf.tasks.text import TextSource
    >>> with open("text.txt", "w") as file:
    ...     _ = file.write("In the beginning God created the heaven.")
    >>> list(TextSource("text.txt").documents("validation"))
    ['n.']
    """

    def __init__(self, source: str, validation_source: str | None = None) -> None:
        self.name = source
        self.source = source.removeprefix(LM)
        self.validation = None if validation_source is None else TextSource(validation_source)
        self._files = None if has_splits(source) else TextFiles(self.source)

    def pieces(self, split: str) -> Iterator[Piece]:
        """Yields the documents of a split in pieces.

        Args:
            split: Name of the split, `"train"` or `"validation"`, or for files also `"all"`.
        """
        if split == "validation" and self.validation:
            yield from self.validation.pieces(self.validation.whole)
        elif self._files is not None:
            for _, piece in self._files.pieces(self._ranges[split]):
                yield piece
        else:
            for document in self._named_documents(split):
                yield from cut_string(document)

    def pieces_of_splits(self) -> Iterator[tuple[str, Piece]]:
        """Yields the names of both splits with their pieces; files are read once for both."""
        splits = ("train", "validation")
        if self._files is not None and not self.validation:
            ranges = (self._ranges[split] for split in splits)
            for number, piece in self._files.pieces(*ranges):
                yield splits[number], piece
            return
        for split in splits:
            for piece in self.pieces(split):
                yield split, piece

    def documents(self, split: str) -> Iterator[str]:
        """Yields the documents of a split; each has to fit into memory.

        Args:
            split: As in `pieces`.
        """
        parts: list[str] = []
        for piece in self.pieces(split):
            parts.append(piece.text)
            if piece.last:
                yield "".join(parts)
                parts = []

    def characters(self, split: str) -> int | None:
        """Returns the number of characters of a split, or `None` if the source does not know it.

        All files are read once, so what is wrong with one of them shows here.

        Args:
            split: As in `pieces`.
        """
        if split == "validation" and self.validation:
            return self.validation.characters(self.validation.whole)
        if self._files is None:
            return None
        start, stop = self._ranges[split]
        return stop - start

    @property
    def whole(self) -> str:
        """The split to evaluate on: `"all"` of files, else `"validation"`."""
        return "all" if self._files else "validation"

    @cached_property
    def _ranges(self) -> dict[str, tuple[int, int]]:
        """The range of characters of each split."""
        assert self._files is not None
        total = sum(self._files.lengths)
        keep = total
        if not self.validation:
            keep -= max(1, min(int(total * HELD_OUT), MOST_HELD_OUT))
        return {"train": (0, keep), "validation": (keep, total), "all": (0, total)}

    def _named_documents(self, split: str) -> Iterator[str]:
        if self.source == "demo":
            try:
                books = kjv.split(split)
            except ModuleNotFoundError as error:
                raise UserError(str(error)) from error
            return (text for _, text in books)
        kind, _, name = self.source.partition(":")
        return read_dataset(kind, name, split)


def has_splits(source: str) -> bool:
    """Whether a source comes with the splits `"train"` and `"validation"`, as files do not."""
    source = source.removeprefix(LM)
    return source == "demo" or source.partition(":")[0] in ("seqio", "tfds")


def read_dataset(kind: str, name: str, split: str) -> Iterator[str]:
    """Yields the documents of a SeqIO task (`kind="seqio"`) or a prepared TFDS dataset."""
    try:
        if kind == "seqio":
            import seqio

            import primer_tf.tasks.seqio_tasks  # noqa: F401  registers the published tasks
        else:
            import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(
            f"{kind}:{name} needs the T5 packages; run `{install_command('t5')}`."
        ) from error
    with errors_of(f"read {kind}:{name}"):
        if kind == "seqio":
            dataset = seqio.get_mixture_or_task(name).source.get_dataset(split, shuffle=False)
        else:
            dataset = tfds.load(name, split=split)
        key = next((key for key in TEXT_KEYS if key in dataset.element_spec), None)
        if key is None:
            raise UserError(f"{kind}:{name} has no text under any of {', '.join(TEXT_KEYS)}.")
        for example in dataset.as_numpy_iterator():
            yield example[key].decode("utf-8")
