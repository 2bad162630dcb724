from importlib import metadata

import pytest

from primer_tf.tasks import kjv


def test_books_are_in_order_and_complete():
    books = kjv.books()
    assert len(books) == 66
    assert books[0][0] == "Genesis" and books[-1][0] == "Revelation"
    assert books[0][1].startswith("In the beginning God created the heaven and the earth.\n")
    assert sum(len(text) for _, text in books) == 4_137_386


def test_splits_are_disjoint_and_validation_is_a_twentieth():
    train, validation = kjv.split("train"), kjv.split("validation")
    assert sorted(train + validation) == sorted(kjv.books())
    assert tuple(title for title, _ in validation) == kjv.VALIDATION_BOOKS
    share = sum(len(text) for _, text in validation) / 4_137_386
    assert 0.045 < share < 0.055


def test_errors_name_an_unknown_split_and_a_missing_package(monkeypatch):
    with pytest.raises(ValueError, match="train and validation, not 'test'"):
        kjv.split("test")

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(kjv.metadata, "distribution", absent)
    kjv.books.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"pip install .*\[demo\]"):
        kjv.books()
