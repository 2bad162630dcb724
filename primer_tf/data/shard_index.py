"""The index of a folder of prepared shards, `token_shards.json`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from primer_tf.data.shard import ShardRecord
from primer_tf.errors import UserError, first_line
from primer_tf.files import atomic_write
from primer_tf.types import StrPath

INDEX = "token_shards.json"
VOCABULARY = "vocabulary.model"
VERSION = 1


@dataclass(frozen=True)
class ShardIndex:
    """What a folder of prepared shards holds.

    Attributes:
        data: The source of the text, for people.
        packing: `"documents"` if each document is followed by the end token, or `"lm"` if chunks
            are cut as by T5's `lm`, where each chunk is.
        dtype: The dtype of a token in the files.
        vocabulary_sha256: Digest of the vocabulary.
        splits: The records of the shards of each split. Empty while the folder is being prepared.
    """

    data: str
    packing: str
    dtype: str
    vocabulary_sha256: str
    splits: Mapping[str, Sequence[ShardRecord]] = field(default_factory=dict)

    def write(self, folder: StrPath) -> None:
        """Writes the index into a folder, in one step."""
        content = {"version": VERSION, **asdict(self)}
        atomic_write(Path(folder) / INDEX, json.dumps(content, indent=2) + "\n")

    @classmethod
    def read(cls, folder: StrPath) -> "ShardIndex":
        """Reads the index of a folder.

        Args:
            folder: The folder.

        Raises:
            UserError: The index is damaged, or of another version.
        """
        path = Path(folder) / INDEX
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            version = content.pop("version")
            if version == VERSION:
                records = {
                    split: [ShardRecord(**record) for record in shards]
                    for split, shards in content.pop("splits").items()
                }
                return cls(**content, splits=records)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{path} is damaged ({first_line(error)}); delete it, and `primer prepare` with "
                "the same options writes it again."
            ) from error
        raise UserError(
            f"{path} has version {version}, and this version of primer_tf reads {VERSION}; prepare "
            "the text again, in another folder."
        )


def shard_folder(folder: Path, split: str, number: int) -> Path:
    """Returns the folder of a shard."""
    return folder / split / f"{number:05}"
