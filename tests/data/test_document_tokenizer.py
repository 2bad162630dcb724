"""Documents in pieces have the tokens and the length of the whole documents."""

import itertools

import numpy as np
import pytest
import sentencepiece

from primer_tf.data.document_tokenizer import (
    DocumentTokenizer,
    batches,
    count_words,
    joined,
    tokenize,
)
from primer_tf.data.text_length import TextLength
from primer_tf.data.vocabulary import train_vocabulary
from primer_tf.data.vocabulary_sample import vocabulary_sample
from primer_tf.tasks import text_files
from primer_tf.tasks.text_files import Piece, cut_string
from tests.sample_text import SENTENCES

TEXTS = [" ".join(SENTENCES * 3), "two  spaces,\ta tab\nand  more " * 9, "", SENTENCES[0]]


def pieces(documents):
    return [piece for document in documents for piece in cut_string(document)]


@pytest.mark.parametrize("size", [20, 50, 2**20])
@pytest.mark.parametrize("end_tokens", [True, False])
def test_tokens_of_pieces(vocabulary, monkeypatch, size, end_tokens):
    monkeypatch.setattr(text_files, "PIECE", size)
    encode = sentencepiece.SentencePieceProcessor(model_proto=vocabulary).encode
    rows = [[*encode(text), *([1] if end_tokens else [])] for text in TEXTS]
    found = DocumentTokenizer(vocabulary, end_tokens)(pieces(TEXTS))
    assert found.tokens.tolist() == sum(rows, [])
    assert found.document_ends.tolist() == np.cumsum([len(row) for row in rows]).tolist()
    words = sum(len(text.split()) for text in TEXTS)
    assert found.length == TextLength(sum(len(text.encode()) for text in TEXTS), words)


def test_a_text_without_spaces_is_cut_without_adding_one(vocabulary, monkeypatch):
    monkeypatch.setattr(text_files, "PIECE", 10)
    text = "".join(SENTENCES).replace(" ", "") + "漢字" * 20
    found = DocumentTokenizer(vocabulary, end_tokens=False)(pieces([text]))
    decode = sentencepiece.SentencePieceProcessor(model_proto=vocabulary).decode
    assert decode(found.tokens.tolist()) == text
    assert found.length == TextLength(len(text.encode()), 1)


def test_the_digest_tells_texts_apart(vocabulary):
    tokenizer = DocumentTokenizer(vocabulary)
    texts = [["ab", "c"], ["a", "bc"], ["abc"], ["ab", "d"]]
    assert len({tokenizer(pieces(text)).digest for text in texts}) == 4


WORDS = ["", " ", "a", " a  b\x1cc\td\n", "a\u2003b\u0085c", "\xa0", "one two", *SENTENCES]


@pytest.mark.parametrize("size", [2, 3, 100])
def test_words(monkeypatch, size):
    """Documents that are cut anywhere, and together, have the words of the whole."""
    monkeypatch.setattr(text_files, "PIECE", size)
    for texts in ([text] for text in WORDS), itertools.permutations(WORDS[:7], 3):
        for documents in texts:
            found = pieces(documents)
            expected = sum(len(document.split()) for document in documents)
            assert count_words(found, joined(found)) == expected
            assert expected == sum(count_words([p], joined([p])) for p in found)


def test_batches():
    found = batches([Piece(text) for text in ("aaa", "b", "cc", "dddd", "e")], 4)
    assert [[piece.text for piece in batch] for batch in found] == [
        ["aaa", "b"],
        ["cc", "dddd"],
        ["e"],
    ]


def test_large_vocabularies_have_larger_tokens(vocabulary, monkeypatch):
    assert DocumentTokenizer(vocabulary).dtype == np.uint16
    tokens, _ = tokenize([Piece("And God said")], vocabulary)
    assert tokens.dtype == np.int32


def test_a_short_text_is_the_sample_as_it_is(monkeypatch):
    monkeypatch.setattr(text_files, "PIECE", 50)
    monkeypatch.setattr("primer_tf.data.vocabulary_sample.BLOCK", 11)
    assert list(vocabulary_sample(pieces(TEXTS[:2]))) == TEXTS[:2]


def test_a_sample_of_a_long_text_is_bounded_and_spread(monkeypatch):
    monkeypatch.setattr("primer_tf.data.vocabulary_sample.BLOCK", 8)
    text = "".join(f"{number:07} " for number in range(1000))
    sample = list(vocabulary_sample([Piece(text, True, False), Piece(text)], largest=1000))
    assert 500 <= sum(map(len, sample)) <= 1000
    numbers = [int(part) for part in sample]
    steps = {(b - a) % 1000 for a, b in zip(numbers, numbers[1:], strict=False)}
    assert steps == {16}


def test_a_vocabulary_of_a_sample(monkeypatch):
    text = "\n".join(SENTENCES) + "\n"
    sample = vocabulary_sample([Piece(text * 50, True, False)] * 20, largest=200_000)
    assert len(train_vocabulary(sample, 290)) > 1000
