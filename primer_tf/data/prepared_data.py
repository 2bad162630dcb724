"""A folder of prepared shards, as training and evaluation read it."""

import hashlib
import os
from pathlib import Path

from primer_tf.data.shard_index import INDEX, VOCABULARY, ShardIndex, shard_folder
from primer_tf.data.token_shards import TokenShards
from primer_tf.data.vocabulary import read_vocabulary
from primer_tf.errors import UserError
from primer_tf.types import StrPath


class PreparedData:
    """A folder that `primer prepare` has written.

    Args:
        folder: The folder.

    Raises:
        UserError: The index is damaged or of another version, the folder is not completely
            prepared, or its vocabulary is not the one it was prepared with.
    """

    def __init__(self, folder: StrPath) -> None:
        self.folder = Path(folder)
        self.index = ShardIndex.read(folder)
        if not self.index.splits:
            raise UserError(
                f"{folder} is not completely prepared; `primer prepare` with the same options goes "
                "on."
            )
        self.vocabulary = read_vocabulary(self.folder / VOCABULARY)
        self.check_vocabulary(self.vocabulary, str(self.folder / VOCABULARY))

    def check_vocabulary(self, vocabulary: bytes, name: str) -> None:
        """Raises `UserError`, which calls the vocabulary `name`, if it is not the folder's."""
        if hashlib.sha256(vocabulary).hexdigest() != self.index.vocabulary_sha256:
            raise UserError(
                f"{name} is not the vocabulary that {self.folder} was prepared with; prepare the "
                "text with it, in another folder."
            )

    def shards(self, split: str) -> TokenShards:
        """Returns the tokens of a split.

        Args:
            split: `"train"` or `"validation"`.
        """
        if split not in self.index.splits:
            raise UserError(f"{self.folder} has no split {split!r}.")
        records = self.index.splits[split]
        folders = [shard_folder(self.folder, split, number) for number in range(len(records))]
        return TokenShards(folders, records, self.index.dtype)


def is_prepared(source: str) -> bool:
    """Whether a source is a folder that `primer prepare` has written, or begun."""
    return os.path.isfile(os.path.join(source, INDEX))  # also of names that are too long for a file
