"""Finds misspelled macros: those that are defined and that nothing uses.

gin itself accepts them, so that `--gin_param=TRAIN_STEP=3` would train for a million steps.
"""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from primer_tf.errors import UserError
from primer_tf.gin_config.gin_reader import Binding, Macro

# Macros that no gin file needs to use, because the package reads their values itself.
READ_DIRECTLY = frozenset({"vocabulary_size", "VOCABULARY"})

# How similar a macro in a file must be to one that is used, from 0 to 1. Files also define macros
# that not every model uses, such as `num_heads` beside `num_layers`, which are 0.63.
SIMILAR = 0.8


def check_macros(bindings: Iterable[Binding]) -> None:
    """Raises `UserError` if a macro is misspelled.

    Args:
        bindings: All bindings of files and command line, as `gin_reader.read` returns them.
    """
    bindings = list(bindings)
    defined = {b.name: b.where for b in bindings if not b.argument}
    used = {name for b in bindings for name in _macros(b.value)}
    check_names(defined, used, {b.name for b in bindings if not b.in_file})


def check_names(defined: Mapping[str, str], used: Iterable[str], given: Collection[str]) -> None:
    """Raises `UserError` if a macro is misspelled.

    Args:
        defined: Where each macro is defined, by its name.
        used: Names of the macros that are the value, or part of the value, of a binding.
        given: Names of the macros that the user gave one by one, each of which must have a use.
    """
    used = {*used, *READ_DIRECTLY}
    for name, where in defined.items():
        if name in used:
            continue
        cutoff = 0.6 if name in given else SIMILAR
        close = difflib.get_close_matches(name, used, n=1, cutoff=cutoff)
        if close or name in given:
            hint = f"; did you mean {close[0]!r}?" if close else "; leave it out."
            raise UserError(f"{where}: nothing uses the macro {name!r}{hint}")


def _macros(value: Any) -> Iterator[str]:
    """Yields the names of the macros in a value."""
    if isinstance(value, Macro):
        yield value.name
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _macros(item)
    elif isinstance(value, dict):
        for pair in value.items():
            yield from _macros(pair)
