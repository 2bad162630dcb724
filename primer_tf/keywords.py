"""Misspelled keyword arguments, which Keras and KerasHub pass on or ignore."""

import difflib
import inspect


def did_you_mean(word, words):
    """Returns `"; did you mean 'x'?"` with the nearest of some words, or `""` if none is near."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def parameter_names(cls, stop):
    """Returns the names of the constructor arguments of a class and its bases.

    Args:
        cls: The class.
        stop: The base whose constructor is the last to count.
    """
    names = []
    for base in cls.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters.values()
            variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
            names += [p.name for p in parameters if p.kind not in variadic and p.name != "self"]
        if base is stop:
            break
    return tuple(dict.fromkeys(names))


def check_keywords(owner, keywords, known):
    """Raises `ValueError` for the first keyword that is not known, with the nearest that is.

    Args:
        owner: Name of the class or function, for the message.
        keywords: The keywords that were given.
        known: Those that it takes.
    """
    for keyword in keywords:
        if keyword not in known:
            raise ValueError(
                f"{owner} has no argument {keyword!r}{did_you_mean(keyword, known) or '.'}"
            )
