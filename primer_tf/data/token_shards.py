"""Tokens on disk as one sequence."""

import functools
import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from primer_tf.data.shard import ARRAYS, CHECKED, TOKENS, ShardRecord
from primer_tf.data.text_length import TextLength
from primer_tf.errors import UserError
from primer_tf.files import DamagedFileError, read_npz

# The number of files that are open at a time; systems allow about a thousand.
OPEN_FILES = 128


class TokenShards:
    """The tokens of prepared shards, of which only the slices that are asked for are read.

    Files are read, not mapped into memory: the process does not grow, and a damaged file is an
    error instead of the end of the process. Every token that is read is checked.

    Args:
        folders: The folders of the shards.
        records: The `ShardRecord` of each.
        dtype: The dtype of a token in the files.

    Raises:
        UserError: A shard is missing or damaged.

    Example:

    >>> import numpy as np
    >>> from pathlib import Path
    >>> from primer_tf.data.document_tokenizer import TokenizedText
    >>> from primer_tf.data.shard import write_shard
    >>> from primer_tf.data.text_length import TextLength
    >>> from primer_tf.data.token_shards import TokenShards
    >>> folder = Path("shard")
    >>> text = TokenizedText(np.arange(9, dtype="<u2"), np.array([9]), TextLength(30, 6), b"")
    >>> TokenShards([folder], [write_shard(folder, [text])], "<u2")[3:6]
    array([3, 4, 5], dtype=int32)
    """

    def __init__(self, folders: Sequence[Path], records: Sequence[ShardRecord], dtype: str) -> None:
        self.folders = list(folders)
        self.records = list(records)
        self.dtype = np.dtype(dtype)
        self._starts = np.cumsum([0, *(record.tokens for record in records)])
        self._open = functools.lru_cache(OPEN_FILES)(self._open_shard)
        for folder, record in zip(self.folders, self.records, strict=True):
            try:
                size = os.stat(folder / TOKENS).st_size
            except FileNotFoundError:
                raise unusable(folder, "is missing") from None
            if size != record.tokens * self.dtype.itemsize:
                raise unusable(folder, f"is damaged: {TOKENS} has {size:,} bytes")

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, key: slice) -> np.ndarray:
        """Returns the tokens of a slice without steps, `[N]` integers of 32 bits."""
        start, stop, _ = key.indices(len(self))
        found = np.empty(max(0, stop - start), np.int32)
        shard = int(np.searchsorted(self._starts, start, "right")) - 1
        filled = 0
        while filled < len(found):
            begin, end = self._starts[shard], self._starts[shard + 1]
            part = self._read(shard, int(start + filled - begin), int(min(stop, end) - begin))
            found[filled : filled + len(part)] = part
            filled, shard = filled + len(part), shard + 1
        return found

    @property
    def num_tokens(self) -> int:
        """The number of tokens, none of which is padding."""
        return len(self)

    @property
    def text(self) -> TextLength:
        """The `TextLength` of the text."""
        lengths = (TextLength(record.num_bytes, record.num_words) for record in self.records)
        return sum(lengths, TextLength(0, 0))

    @property
    def sha256(self) -> str:
        """A digest of all tokens, for which no token is read."""
        digests = (record.tokens_sha256 for record in self.records)
        return hashlib.sha256("".join(digests).encode("ascii")).hexdigest()

    def _open_shard(self, shard: int) -> tuple[BinaryIO, np.ndarray]:
        """Opens the file of a shard; returns it and its checksums."""
        folder = self.folders[shard]
        try:
            checksums = read_npz(folder / ARRAYS)["checksums"]
            return open(folder / TOKENS, "rb", buffering=0), checksums
        except (DamagedFileError, FileNotFoundError, KeyError) as error:
            raise unusable(folder, "is damaged") from error

    def _read(self, shard: int, start: int, stop: int) -> np.ndarray:
        """Returns tokens of one shard."""
        file, checksums = self._open(shard)
        size, step = self.dtype.itemsize, CHECKED * self.dtype.itemsize
        first, last = start // CHECKED, -(-stop // CHECKED)
        content = os.pread(file.fileno(), (last - first) * step, first * step)
        for number in range(first, last):
            block = content[(number - first) * step :][:step]
            if number >= len(checksums) or zlib.crc32(block) != checksums[number]:
                raise unusable(self.folders[shard], f"is damaged at token {number * CHECKED:,}")
        offset = (start - first * CHECKED) * size
        return np.frombuffer(content, self.dtype, stop - start, offset)


def unusable(folder: Path, what: str) -> UserError:
    """Returns the error about a shard."""
    return UserError(
        f"The shard {folder} {what}; `primer prepare` with the same options writes it again."
    )
