"""Checks that turn a misspelled keyword into one clear line."""

import difflib
import inspect
import itertools


def argument_names(cls):
    """Returns the names of a constructor's arguments.

    Those of its base classes count, up to the first one that is Keras' or KerasHub's: a constructor
    hands on what it does not know.

    Args:
        cls: The class.

    Returns:
        A list of strings.
    """

    def is_keras(base):
        return base.__module__.split(".")[0] in ("keras", "keras_hub")

    own = list(itertools.takewhile(lambda base: not is_keras(base), cls.__mro__)) or [cls]
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [
        parameter.name
        for base in own
        if "__init__" in vars(base)
        for parameter in list(inspect.signature(base.__init__).parameters.values())[1:]
        if parameter.kind not in variadic
    ]


def check_keywords(owner, keywords, known):
    """Raises `ValueError` if a keyword is unknown.

    Args:
        owner: Name of what was called, for the message.
        keywords: The keywords that were given.
        known: Names of the arguments that there are.
    """
    for keyword in keywords:
        if keyword in known:
            continue
        nearest = difflib.get_close_matches(keyword, known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(sorted(known))}."
        raise ValueError(f"{owner} has no argument {keyword!r}; {hint}")
