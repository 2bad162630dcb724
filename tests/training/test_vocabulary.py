"""Vocabularies: all text counts, and every text comes back."""

import random
from collections import Counter

import numpy as np
import pytest
import sentencepiece

from primer_tf.data import vocabulary as module
from primer_tf.data.vocabulary import train_vocabulary
from primer_tf.errors import UserError
from primer_tf.models import PrimerTokenizer
from tests.sample_text import SENTENCES


def pieces(model):
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return {processor.id_to_piece(i) for i in range(processor.vocab_size())}


@pytest.fixture(scope="module")
def vocabulary_of_lines():
    return train_vocabulary(["\n".join(SENTENCES * 40)], size=300)


@pytest.mark.parametrize("separator", [" ", "\u2585"])
def test_a_text_in_one_line(vocabulary_of_lines, separator):
    """SentencePiece by itself skips it: it is too long, or has a character that it reserves."""
    assert pieces(train_vocabulary([separator.join(SENTENCES * 40)], 300)) == pieces(
        vocabulary_of_lines
    )


def test_a_long_text_without_spaces():
    """Its characters, and a word that is often in it, become pieces."""
    draw = random.Random(0)
    characters = [chr(0x4E00 + i) for i in range(200)]
    units = [*characters, *["光明之子"] * 20]
    text = "".join(draw.choices(units, k=9000))
    assert len(text.encode()) > 5 * 4192
    learned = pieces(train_vocabulary([text], 259 + 1 + 200 + 40))
    assert learned >= {*characters, "光明之子"}


def words(line):
    """How often SentencePiece finds each word: a space, put before the line too, begins one."""
    return Counter((" " + line).replace(" ", "\n ").split("\n")[1:])


def test_cuts_lose_no_word(monkeypatch):
    monkeypatch.setattr(module, "MAX_CHARACTERS", 12)
    draw, compared = random.Random(0), 0
    for _ in range(300):
        line = "".join(draw.choice(["ab", "c", " ", " ", "  "]) for _ in range(20)).strip()
        parts = list(module._lines([line]))
        assert max(map(len, parts)) <= 12
        if max(map(len, (" " + line).split(" "))) < 8 and " " * 5 not in line:
            assert sum((words(part) for part in parts), Counter()) == words(line)
            compared += 1
        assert "".join(parts).replace(" ", "") == line.replace(" ", "")
    assert compared > 30


def test_every_character_comes_back(vocabulary_of_lines):
    """SentencePiece's mark of a space too, in both of the libraries that read its models."""
    tokenizer = PrimerTokenizer(vocabulary_of_lines)
    processor = sentencepiece.SentencePieceProcessor(model_proto=vocabulary_of_lines)
    draw = random.Random(0)
    special = [*"\u2581\u2585\u2047\ue000\ue001\ue002 a\t漢", "the"]
    texts = ["\u2581", "a\u2581b \u2581", "loss ▁▂▃▄▅▆▇█"]
    texts += ["x" + "".join(draw.choices(special, k=12)) for _ in range(100)]
    rows = [np.asarray(row).tolist() for row in tokenizer(texts)]
    assert list(tokenizer.detokenize(rows)) == texts
    assert [processor.encode(text) for text in texts] == rows
    assert [processor.decode(row) for row in rows] == texts


def test_warnings_reach_the_user(monkeypatch, capfd):
    train_vocabulary(SENTENCES * 4, 300)
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(module, "MAX_CHARACTERS", 10_000)
    train_vocabulary([*SENTENCES * 4, "x" * 5000], 300)
    assert "Found too long line (5000 > 4192)" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("documents", "size", "reason"),
    [
        (SENTENCES, 5000, r"Vocabulary size too high \(5000\)"),
        (SENTENCES, 100, "Vocabulary size is smaller than required_chars"),
        (["\n \n"], 300, "it is empty"),
        (SENTENCES, 2**31 - 1, "at most 1,000,000"),
    ],
)
def test_size_that_does_not_fit(documents, size, reason):
    with pytest.raises(UserError, match=f"Cannot train a vocabulary of {size} pieces.*{reason}"):
        train_vocabulary(documents, size)
