"""Text that grows token by token equals the text of all tokens, cut before a stop text."""

import random

import pytest

from primer_tf.models import PrimerTokenizer
from primer_tf.models.completion import Completion, Detokenizer

SMILE = "\U0001f600"


@pytest.fixture(scope="module")
def detokenizer(vocabulary):
    return Detokenizer(PrimerTokenizer(vocabulary))


def ids_of(detokenizer, text):
    return [int(i) for i in detokenizer.tokenizer(text)]


def grow(completion, ids, sizes=lambda: 1):
    """Adds ids a few at a time; returns the pieces of text."""
    pieces, ids = [], list(ids)
    while ids:
        size = sizes()
        pieces.append(completion.add(ids[:size]))
        del ids[:size]
    return [*pieces, completion.finish()]


def test_the_detokenizer_is_that_of_generate(detokenizer):
    chance = random.Random(0)
    for _ in range(50):
        ids = [chance.randrange(320) for _ in range(30)]
        expected = detokenizer.tokenizer.detokenize([i for i in ids if i > 1])
        assert detokenizer(ids) == expected


def test_no_piece_has_half_a_character(detokenizer):
    """The small vocabulary spells these characters in bytes."""
    prompt, rest = ids_of(detokenizer, "And"), f" caf\u00e9 \u6f22\u5b57 {SMILE}{SMILE}."
    ids = ids_of(detokenizer, "And" + rest)[len(prompt) :]
    assert len(ids) > len(rest)
    completion = Completion(detokenizer, prompt)
    pieces = grow(completion, ids)
    assert "".join(pieces) == completion.completion == rest
    assert completion.text == "And" + rest and completion.prompt == "And"
    assert SMILE in pieces, "a character comes when its last byte comes"


def test_any_tokens(detokenizer):
    """Invalid bytes, unknown pieces and special tokens; a few at a time."""
    chance = random.Random(1)
    of_bytes = list(range(3, 259))
    for _ in range(300):
        prompt = [0, *ids_of(detokenizer, "And God")]
        ids = [chance.choice([*of_bytes, *range(259, 320), 0, 2]) for _ in range(20)]
        completion = Completion(detokenizer, prompt)
        pieces = grow(completion, ids, lambda: chance.randrange(1, 5))
        assert "".join(pieces) == completion.completion
        assert completion.text == "".join(["And God", *pieces]) == detokenizer(prompt + ids)
        assert completion.finish_reason == "length"


def cut(text, stops):
    """By definition: the text is read letter by letter, until a stop text is complete."""
    for end in range(len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - max(map(len, complete))], "stop"
    return text, "length"


@pytest.mark.parametrize(
    "text, stops, expected",
    [
        ("light: and there", [" and"], "light:"),
        ("light: and there", ["zzz", "there"], "light: and "),
        ("aaab", ["aab"], "a"),
        ("abc", ["abc", "b"], "a"),
        ("abc", ["bc", "abc"], ""),
        ("and the light", [" the", "h"], "and t"),  # ` the` is one token
        ("light", ["l"], ""),
        ("light", ["t."], "light"),
        (f"x{SMILE}y", [SMILE], "x"),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_stop_texts_by_hand(detokenizer, text, stops, expected, size):
    prompt = ids_of(detokenizer, "And")
    ids = ids_of(detokenizer, f"And{text}")[len(prompt) :]
    completion = Completion(detokenizer, prompt, stops)
    pieces = grow(completion, ids, lambda: size)
    assert "".join(pieces) == completion.completion == expected
    assert completion.finish_reason == cut(text, stops)[1]


def test_stop_texts_of_any_kind(detokenizer):
    """Also those that are in the prompt, where they do not count."""
    chance = random.Random(2)
    prompt = ids_of(detokenizer, "ab")
    letters = {letter: ids_of(detokenizer, f"a{letter}")[-1] for letter in "ab"}
    for _ in range(300):
        text = "".join(chance.choice("ab") for _ in range(12))
        stops = [
            "".join(chance.choice("ab") for _ in range(n)) for n in chance.choices((2, 4), k=2)
        ]
        completion = Completion(detokenizer, prompt, stops)
        pieces = grow(completion, [letters[letter] for letter in text])
        assert (completion.completion, completion.finish_reason) == cut(text, stops), (text, stops)
        assert "".join(pieces) == completion.completion, "nothing is taken back"


def test_the_end_token_ends_the_text(detokenizer):
    prompt = ids_of(detokenizer, "And")
    rest = ids_of(detokenizer, "And God")[len(prompt) :]
    completion = Completion(detokenizer, prompt, ["Go!"])
    assert completion.add([*rest, 1, *rest]) == " God"
    assert (completion.text, completion.finish_reason) == ("And God", "stop")
    assert completion.add(rest) == completion.finish() == ""
