"""Text files as streams of documents, each in pieces that fit into memory.

A file is one document, with three exceptions. Each line of a `.jsonl` file is a JSON object with a
document under the key `text`. A `.json` file has such lines, too, or one object, or an array of
objects; it is the only kind that is read as a whole. Each row of a `.parquet` file has a document
in the column `text`. All but `.parquet` may be compressed, with `.gz` after the suffix. Suffixes
may be in upper or lower case.
"""

import codecs
import contextlib
import glob
import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

from primer_tf.errors import UserError, errors_of
from primer_tf.installation import install_command

# The suffixes of the files that a folder stands for.
IN_FOLDERS = (".txt", ".jsonl", ".jsonl.gz", ".parquet")

# The largest number of characters in a piece.
PIECE = 2**20


class Piece(NamedTuple):
    """A part of a document. The pieces of a document, joined, are the document.

    Attributes:
        text: The text.
        first: Whether the document starts with it. If not, it starts at a space, if there is one,
            so that no word is cut.
        last: Whether the document ends with it.
    """

    text: str
    first: bool = True
    last: bool = True


def cut(parts: Iterable[str]) -> Iterator[Piece]:
    """Yields a document in pieces, which do not depend on how the document is read.

    Args:
        parts: Strings that, joined, are the document.
    """
    rest, first = "", True
    for part in parts:
        rest += part
        while len(rest) > PIECE:
            end = _last_word(rest)
            yield Piece(rest[:end], first, False)
            rest, first = rest[end:], False
    yield Piece(rest, first, True)


def _last_word(text: str) -> int:
    """Returns the end of a piece: before a space between two words, or else anywhere.

    Unless the next piece starts with white space, it starts with the rest of a word.
    """
    end = text.rfind(" ", 1, PIECE)
    while end > 0 and not (text[end - 1].isalnum() and text[end + 1].isalnum()):
        end = text.rfind(" ", 1, end)
    return end if end > 0 else PIECE - (text[PIECE - 1].isspace() and not text[PIECE].isspace())


def cut_string(document: str) -> Iterator[Piece]:
    """Yields a document in pieces."""
    if len(document) <= PIECE:
        return iter((Piece(document),))
    return cut(document[start : start + PIECE] for start in range(0, len(document), PIECE))


class TextFiles:
    """The documents of files, as a stream that can be read again and again.

    Args:
        patterns: A comma-separated list of files, folders and globs.

    Raises:
        UserError: There is no such file. While files are read: one is damaged or not UTF-8.
    """

    def __init__(self, patterns: str) -> None:
        self.patterns = patterns
        self.paths = find_files(patterns)

    @cached_property
    def lengths(self) -> list[int]:
        """The number of characters in the documents of each file, for which all are read once."""
        lengths = [sum(len(piece.text) for piece in read_file(path)) for path in self.paths]
        if not any(lengths):
            shown = self.patterns if len(self.patterns) <= 200 else f"{self.patterns[:200]}..."
            raise UserError(f"No text in {shown}: every file is empty.")
        return lengths

    def pieces(self, *ranges: tuple[int, int]) -> Iterator[tuple[int, Piece]]:
        """Yields the documents in ranges of the characters; those at their ends are cut there.

        Args:
            *ranges: Ranges, in order, as the first character and the one after the last.

        Yields:
            Pairs of the number of a range and a piece.
        """
        end = 0
        for path, length in zip(self.paths, self.lengths, strict=True):
            if not any(start < end + length and end < stop for start, stop in ranges):
                end += length
                continue
            for text, first, last in read_file(path):
                begin, end = end, end + len(text)
                for number, (start, stop) in enumerate(ranges):
                    low, high = max(start, begin), min(stop, end)
                    if low < high:
                        part = text[low - begin : high - begin]
                        yield number, Piece(part, first or low == start, last or high == stop)


def find_files(patterns: str) -> list[Path]:
    """Returns the files of a comma-separated list of files, folders and globs, each file once.

    A comma may also be part of a name: parts are joined until they name something.
    """
    paths: dict[Path, None] = {}
    parts = patterns.split(",")
    while parts:
        for end in range(1, len(parts) + 1):
            name = ",".join(parts[:end])
            found = _matches(name)
            if found:
                break
        else:
            if glob.has_magic(parts[0]):
                raise UserError(f"No data file matches {parts[0]}.")
            raise UserError(f"No such data file: {parts[0] or repr('')}.")
        files = [file for path in found for file in _files_of(path)]
        if not files:
            suffixes = f"{', '.join(IN_FOLDERS[:-1])} or {IN_FOLDERS[-1]}"
            raise UserError(f"There are no {suffixes} files in the folder {name}.")
        paths.update(dict.fromkeys(files))
        parts = parts[end:]
    return list(paths)


def _matches(name: str) -> list[Path]:
    """Returns the file or folder of this name, or else those that match the name as a glob."""
    names = [name] if os.path.exists(name) else sorted(glob.glob(name, recursive=True))
    return [Path(match) for match in names if os.path.isfile(match) or os.path.isdir(match)]


def _files_of(path: Path) -> Iterator[Path]:
    """Yields a file itself, or the text files of a folder; links to other folders are not followed.

    Raises:
        OSError: A folder cannot be read.
    """
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(IN_FOLDERS) and not name.startswith("."):
                yield Path(folder, name)


def _raise(error: OSError) -> None:
    raise error


def read_file(path: Path) -> Iterator[Piece]:
    """Yields the documents of one file in pieces, without blank ones."""
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    documents = {".jsonl": _json_lines, ".json": _json_documents, ".parquet": _rows}.get(suffix)
    if documents is not None:
        for document in documents(path):
            if document and not document.isspace():
                yield from cut_string(document)
    elif not all(part.isspace() for part in _parts(path)):
        yield from cut(_parts(path))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    """Opens a file of UTF-8, with or without a byte order mark."""
    try:
        with _open(path, "rt", "utf-8-sig") as file:
            yield file
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text: byte {_undecodable(path)} cannot be decoded; convert the "
            "file."
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged, or no gzip file; write it again.") from error


def _open(path: Path, mode: str, encoding: str | None = None) -> Any:
    opener: Callable[..., Any] = gzip.open if path.name.lower().endswith(".gz") else open
    return opener(path, mode, encoding=encoding)


def _undecodable(path: Path) -> int:
    """Returns the place of the first byte in a file that is not UTF-8."""
    decoder, read = codecs.getincrementaldecoder("utf-8")(), 0
    with _open(path, "rb") as file:
        while True:
            block = file.read(PIECE)
            before = len(decoder.getstate()[0])  # the bytes of a character that is not complete
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                return read - before + error.start
            read += len(block)


def _parts(path: Path) -> Iterator[str]:
    with _opened(path) as file:
        while part := file.read(PIECE):
            yield part


def _json_lines(path: Path) -> Iterator[str]:
    with _opened(path) as file:
        # Not `splitlines`: JSON strings may contain Unicode's other line separators.
        for number, line in enumerate(file, start=1):
            if not line.isspace():
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError):
                    value = None
                yield _document(value, path, "line", number)


def _json_documents(path: Path) -> Iterator[str]:
    """Yields the documents of a `.json` file: an array of objects, an object, or one a line."""
    with _opened(path) as file:
        text = file.read()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        yield from _json_lines(path)
        return
    if not isinstance(value, list):
        yield _document(value, path)
        return
    for number, entry in enumerate(value, start=1):
        yield _document(entry, path, "entry", number)


def _document(value: object, path: Path, place: str = "", number: int = 0) -> str:
    """Returns the text of a parsed JSON object; error messages say where it is."""
    text = value.get("text") if isinstance(value, dict) else None
    if isinstance(text, str) and text.isascii():
        return text  # Nearly all of the time goes here, so it is short.
    where = f"{path}, {place} {number}," if place else str(path)
    if not isinstance(text, str):
        raise UserError(f"{where} is not a JSON object with a string as 'text'.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"{where} has a text that is not Unicode: {ascii(text[error.start])} is half of a "
            "character; write the file again as UTF-8."
        ) from error
    return text


def _rows(path: Path) -> Iterator[str]:
    """Yields the documents of a `.parquet` file."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(f"{path} needs pyarrow; run `{install_command('parquet')}`.") from error
    with errors_of(f"read {path}"), pyarrow.parquet.ParquetFile(path) as file:
        columns = {field.name: field.type for field in file.schema_arrow}
        is_text = (pyarrow.types.is_string, pyarrow.types.is_large_string)
        if "text" not in columns or not any(test(columns["text"]) for test in is_text):
            raise UserError(f"{path} has no column 'text' of strings.")
        for batch in file.iter_batches(batch_size=1000, columns=["text"]):
            for text in batch.column(0).to_pylist():
                yield text or ""  # a missing text is an empty one
