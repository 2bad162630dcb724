"""From a text of any size to shards of tokens on disk."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

from primer_tf.data.document_tokenizer import DocumentTokenizer
from primer_tf.data.prepared_data import PreparedData, is_prepared
from primer_tf.data.shard_index import VOCABULARY, ShardIndex
from primer_tf.data.shard_writer import ShardWriter
from primer_tf.data.vocabulary import num_pieces, read_vocabulary
from primer_tf.data.vocabulary_sample import vocabulary_of_text
from primer_tf.errors import UserError
from primer_tf.files import atomic_write, sole_writer
from primer_tf.tasks.text import LM, TextSource
from primer_tf.types import StrPath

# The number of characters of a shard: some 30 million tokens, 60 MB.
SHARD = 2**27


def prepare(
    text: TextSource,
    output: StrPath,
    vocabulary: StrPath | None = None,
    *,
    vocabulary_size: int = 8000,
    workers: int = 1,
    write_elsewhere: Callable[[ShardWriter], object] | None = None,
    shard_characters: int = SHARD,
    on_text: Callable[[int], object] = lambda characters: None,
    report: Callable[[str], object] = print,
) -> PreparedData:
    """Tokenizes a text into shards, from which models train without reading the text again.

    Both splits are written. The shards depend on the text and the vocabulary alone. If the process
    is killed, the same call goes on after the last whole shard; in a folder that is complete it
    checks all shards, and writes missing and damaged ones again.

    Args:
        text: The text. That of a SeqIO task, and one with the prefix `lm:`, is later cut as by T5's
            `lm`.
        output: The folder to write.
        vocabulary: Path of a SentencePiece model. By default one is trained on the text, or, if
            it is too long, on parts of it.
        vocabulary_size: Number of pieces of a trained vocabulary. Defaults to 8000.
        workers: Number of processes that tokenize. Defaults to 1.
        write_elsewhere: A function that has other machines write shards, such as
            `prepare_on_beam`. What they leave out is then written here. Optional.
        shard_characters: Number of characters of a shard. Defaults to 128 Mi.
        on_text: A function that is called with the number of characters just done.
        report: A function that prints a line. Defaults to `print`.

    Returns:
        The `PreparedData`.

    Raises:
        UserError: Bad text or vocabulary, or a folder that was prepared from something else.
        OSError: There is no room on the disk, for example. What is written stays.

    Example:

    >>> from primer_tf.data.prepare import prepare
    >>> from primer_tf.tasks.text import TextSource
    >>> with open("text.txt", "w") as file:
    ...     _ = file.write("In the beginning God created the heaven and the earth. " * 9)
    >>> prepared = prepare(TextSource("text.txt"), "tokens", vocabulary_size=280)
    Training a vocabulary of 280 pieces.
    >>> prepared.shards("train").text
    TextLength(num_bytes=471, num_words=86)
    """
    output = Path(output)
    for split in ("train", "validation"):
        text.characters(split)  # What is wrong with a file shows before hours of work.
    with sole_writer(output):
        proto = _vocabulary(text, output, vocabulary, vocabulary_size, report)
        is_lm = text.name.startswith((LM, "seqio:"))
        tokenizer = functools.partial(DocumentTokenizer, proto, end_tokens=not is_lm)
        index = ShardIndex(
            data=text.name,
            packing="lm" if is_lm else "documents",
            dtype=tokenizer().dtype.str,
            vocabulary_sha256=hashlib.sha256(proto).hexdigest(),
        )
        _check_index(index, output)
        writer = ShardWriter(text, output, tokenizer, shard_characters)
        if write_elsewhere is not None:
            write_elsewhere(writer)
        splits = writer.write(workers, on_text)
        for split in ("train", "validation"):
            if split not in splits:
                raise UserError(f"There is no text in the {split} split of {text.name}.")
        dataclasses.replace(index, splits=splits).write(output)
    return PreparedData(output)


def _vocabulary(
    text: TextSource,
    output: Path,
    path: StrPath | None,
    size: int,
    report: Callable[[str], object],
) -> bytes:
    """Returns the vocabulary, which is written into the folder."""
    own = output / VOCABULARY
    given = None if path is None else read_vocabulary(path)
    if is_prepared(str(output)) and own.exists():
        proto = read_vocabulary(own)
        if given not in (None, proto) or (given is None and num_pieces(proto) != size):
            raise UserError(
                f"{path or f'A vocabulary of {size:,} pieces'} is not what {output} was started "
                "with; give the same options, or choose another folder."
            )
        return proto
    if given is None:
        report(f"Training a vocabulary of {size:,} pieces.")
        given = vocabulary_of_text(text, size)
    atomic_write(own, given)
    return given


def _check_index(index: ShardIndex, output: Path) -> None:
    """Compares with the index of a preparation that was begun before, or writes it."""
    if is_prepared(str(output)):
        before = ShardIndex.read(output)
        for name in ("packing", "dtype", "vocabulary_sha256"):
            if getattr(before, name) != getattr(index, name):
                raise UserError(
                    f"{output} was prepared with another {name.removesuffix('_sha256')}; choose "
                    "another folder."
                )
    else:
        index.write(output)
