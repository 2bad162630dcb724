"""Tokenizing a corpus: `primer prepare`, and SentencePiece alone."""

import atexit
import itertools
import json
import shutil
import tempfile
from pathlib import Path

import sentencepiece

from primer_tf.data.prepare import prepare as prepare_shards
from primer_tf.data.vocabulary import train_vocabulary
from primer_tf.tasks import kjv
from primer_tf.tasks.text import TextSource


def write_corpus(path, megabytes):
    """Writes chapters of the demo text, with numbers that make them differ, as `.jsonl`."""
    verses = [verse for _, text in kjv.books() for verse in text.splitlines()]
    written, document = 0, 0
    with open(path, "w", encoding="utf-8") as file:
        while written < megabytes * 1e6:
            start = 25 * document % len(verses)
            lines = [f"{document}.{n} {verse}" for n, verse in enumerate(verses[start:][:25])]
            written += file.write(json.dumps({"text": "\n".join(lines)}) + "\n")
            document += 1


def prepare(megabytes, vocabulary_size=8000, workers=None, threads=1):
    """Tokenizes a corpus on disk; with no `workers`, by SentencePiece alone and to no file."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    corpus, vocabulary = folder / "corpus.jsonl", folder / "vocabulary.model"
    write_corpus(corpus, megabytes)
    books = [text for _, text in kjv.books()[: 5 if vocabulary_size < 1000 else None]]
    vocabulary.write_bytes(train_vocabulary(books, vocabulary_size))
    if workers:
        runs = itertools.count()

        def run():
            source = TextSource(str(corpus))  # which counts the characters, for what is held out
            prepare_shards(source, folder / str(next(runs)), vocabulary, workers=workers)

        return run
    encode = sentencepiece.SentencePieceProcessor(model_file=str(vocabulary)).encode
    documents = list(TextSource(str(corpus)).documents("all"))
    many = [documents[start : start + 1000] for start in range(0, len(documents), 1000)]

    def alone():
        for part in many:
            encode(part, num_threads=threads, return_type="numpy")

    return alone
