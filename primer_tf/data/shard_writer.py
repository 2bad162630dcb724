"""Writing the shards of a text, or some of them."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from primer_tf.data.document_tokenizer import BATCH, DocumentTokenizer, batches, text_digest
from primer_tf.data.ordered_map import ordered_map
from primer_tf.data.shard import ShardRecord, joined_digest, whole_shard, write_shard
from primer_tf.data.shard_index import shard_folder
from primer_tf.errors import UserError
from primer_tf.tasks.text import TextSource
from primer_tf.tasks.text_files import Piece

Batch = list[Piece]
Shard = tuple[str, int]  # the split and the number in it


@dataclass(frozen=True)
class ShardWriter:
    """Writes the shards of a text that do not exist yet.

    It can be pickled, and used in any process that sees the text and the folder.

    Args:
        text: The text.
        output: The folder of the shards.
        make_tokenizer: A function without arguments that returns a `DocumentTokenizer`.
        shard_characters: Number of characters of a shard.
    """

    text: TextSource
    output: Path
    make_tokenizer: Callable[[], DocumentTokenizer]
    shard_characters: int

    def write(
        self,
        workers: int = 1,
        on_text: Callable[[int], object] = lambda characters: None,
        part: int = 0,
        parts: int = 1,
    ) -> dict[str, list[ShardRecord]]:
        """Writes shards, and returns their records by split.

        Each part reads the whole text, which takes a small share of the time of tokenizing it.

        Args:
            workers: Number of processes that tokenize. Defaults to 1.
            on_text: A function that is called with the number of characters just done.
            part: The number of the part whose shards are written. Defaults to 0.
            parts: Number of parts; each has every so many-th shard. Defaults to 1.

        Raises:
            UserError: A shard in the folder is of another text.
        """
        records: dict[Shard, ShardRecord] = {}
        missing = self._missing(records, on_text, part, parts)
        results = ordered_map(self.make_tokenizer, missing, workers)
        for shard, group in itertools.groupby(results, key=lambda result: result[0][0]):
            tokenized = []
            for (_, size), each in group:
                tokenized.append(each)
                on_text(size)
            records[shard] = write_shard(self._folder(shard), tokenized)
        splits: dict[str, list[ShardRecord]] = {}
        for split, number in sorted(records):
            splits.setdefault(split, []).append(records[split, number])
        return splits

    def _folder(self, shard: Shard) -> Path:
        return shard_folder(self.output, *shard)

    def _missing(
        self,
        records: dict[Shard, ShardRecord],
        on_text: Callable[[int], object],
        part: int,
        parts: int,
    ) -> Iterator[tuple[tuple[Shard, int], Batch]]:
        """Yields the batches of shards to write, and adds the records of those that are whole."""
        shards = itertools.groupby(self._shards(), key=lambda entry: entry[0])
        for shard, group in itertools.islice(shards, part, None, parts):
            record = whole_shard(self._folder(shard))
            digests = []
            for _, batch in group:
                if record is None:
                    yield (shard, _size(batch)), batch
                else:
                    digests.append(text_digest(batch))
                    on_text(_size(batch))
            if record is not None:
                if joined_digest(digests) != record.text_sha256:
                    raise UserError(
                        f"{self._folder(shard)} was prepared from another text; choose another "
                        "folder."
                    )
                records[shard] = record

    def _shards(self) -> Iterator[tuple[Shard, Batch]]:
        """Yields each batch with its shard."""
        for split, group in itertools.groupby(
            self.text.pieces_of_splits(), key=lambda entry: entry[0]
        ):
            number = characters = 0
            pieces = (piece for _, piece in group)
            for batch in batches(pieces, min(BATCH, self.shard_characters // 8)):
                yield (split, number), batch
                characters += _size(batch)
                if characters >= self.shard_characters:
                    number, characters = number + 1, 0


def _size(batch: Batch) -> int:
    """Returns the number of characters."""
    return sum(len(piece.text) for piece in batch)
