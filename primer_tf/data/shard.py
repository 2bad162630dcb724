"""A shard of prepared tokens: a folder that is whole or absent.

| file | holds |
| --- | --- |
| `tokens.bin` | the token ids, as little-endian integers of 2 bytes, or 4 for large vocabularies |
| `arrays.npz` | `document_ends`, the places after the last tokens of documents, and `checksums`, the CRC-32 of each 2,048 tokens |
| `shard.json` | the counts and digests of a `ShardRecord` |

Tokens are plain integers instead of records, because a chunk of any length may start and end
anywhere in a document.
"""  # noqa: E501

import hashlib
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from primer_tf.data.document_tokenizer import TokenizedText
from primer_tf.data.text_length import TextLength
from primer_tf.files import DamagedFileError, atomic_directory, read_npz

TOKENS, ARRAYS, RECORD = "tokens.bin", "arrays.npz", "shard.json"

# The number of tokens that share a checksum: a page of 4 KiB if a token has 2 bytes.
CHECKED = 2048


@dataclass(frozen=True)
class ShardRecord:
    """What a shard holds.

    Attributes:
        tokens: Number of tokens.
        documents: Number of documents that end in the shard.
        num_bytes: Number of bytes of the text in UTF-8.
        num_words: Number of words of the text, which are separated by white space.
        tokens_sha256: Digest of the tokens.
        text_sha256: Digest of the text.
    """

    tokens: int
    documents: int
    num_bytes: int
    num_words: int
    tokens_sha256: str
    text_sha256: str


def write_shard(folder: Path, parts: Sequence[TokenizedText]) -> ShardRecord:
    """Writes a shard, or replaces it, in one step.

    Args:
        folder: The folder of the shard.
        parts: Its tokens. A token has as many bytes as in them.

    Raises:
        OSError: There is no room on the disk, for example. The folder stays as it was.
    """
    starts = np.cumsum([0, *(len(part.tokens) for part in parts)])
    ends = [part.document_ends + start for part, start in zip(parts, starts, strict=False)]
    length = sum((part.length for part in parts), TextLength(0, 0))
    tokens = np.concatenate([part.tokens for part in parts])
    content = tokens.data.cast("B")
    record = ShardRecord(
        tokens=len(tokens),
        documents=sum(map(len, ends)),
        num_bytes=length.num_bytes,
        num_words=length.num_words,
        tokens_sha256=hashlib.sha256(content).hexdigest(),
        text_sha256=joined_digest(part.digest for part in parts),
    )
    with atomic_directory(folder) as temporary:
        (temporary / TOKENS).write_bytes(content)
        np.savez(
            temporary / ARRAYS,
            document_ends=np.concatenate(ends),
            checksums=checksums(content, tokens.itemsize),
        )
        (temporary / RECORD).write_text(json.dumps(asdict(record), indent=2) + "\n")
    return record


def joined_digest(digests: Iterable[bytes]) -> str:
    """Returns the digest of a text from those of its parts."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def checksums(content: memoryview | bytes, itemsize: int) -> np.ndarray:
    """Returns the CRC-32 of each 2,048 tokens, `[ceil(N / 2048)]`.

    Args:
        content: `N` tokens.
        itemsize: Number of bytes of a token.
    """
    step = CHECKED * itemsize
    values = [zlib.crc32(content[i : i + step]) for i in range(0, len(content), step)]
    return np.array(values, "<u4")


def whole_shard(folder: Path) -> ShardRecord | None:
    """Returns the record of a shard, or `None` if there is none or it is damaged.

    Args:
        folder: The folder of the shard, all of which is read.
    """
    try:
        record = ShardRecord(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
        with open(folder / TOKENS, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        arrays = read_npz(folder / ARRAYS)
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, DamagedFileError):
        return None
    whole = found == record.tokens_sha256 and set(arrays) == {"document_ends", "checksums"}
    return record if whole else None
