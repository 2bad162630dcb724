"""Misspelled keyword arguments, which Keras and KerasHub pass on or ignore."""

import difflib
import inspect
from collections.abc import Collection, Iterable


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Returns `"; did you mean 'x'?"` with the most similar of some words, or `""` if none is."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def parameter_names(cls: type, stop: type) -> tuple[str, ...]:
    """Returns the names of the constructor arguments of a class and its bases.

    Args:
        cls: The class.
        stop: The last base, in method resolution order, whose constructor counts.
    """
    names: list[str] = []
    for base in cls.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
            names += [p.name for p in parameters if p.kind not in variadic and p.name != "self"]
        if base is stop:
            break
    return tuple(dict.fromkeys(names))


def check_keywords(owner: str, keywords: Iterable[str], known: Collection[str]) -> None:
    """Checks that a class or function takes all the keywords that it is given.

    Args:
        owner: Name of the class or function, for the message.
        keywords: The keywords that it is given.
        known: The keywords that it takes.

    Raises:
        ValueError: A keyword is unknown; the message names the most similar one.
    """
    for keyword in keywords:
        if keyword not in known:
            raise ValueError(
                f"{owner} has no argument {keyword!r}{did_you_mean(keyword, known) or '.'}"
            )
