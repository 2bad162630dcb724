"""Reads gin files into bindings, without the modules that they configure.

gin's own parser reads the syntax. Unlike in gin, a binding is kept as data, with the place where it
stands, instead of being passed to a function.
"""

import tokenize
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gin import config_parser

from primer_tf.errors import UserError
from primer_tf.gin_config.gin_search import GinSearch, check_not_open
from primer_tf.types import StrPath


@dataclass(frozen=True)
class Reference:
    """`@name` or, if `evaluate`, `@name()` as a value."""

    name: str
    evaluate: bool = False

    def __str__(self) -> str:
        return f"@{self.name}" + ("()" if self.evaluate else "")


@dataclass(frozen=True)
class Macro:
    """`%name` as a value."""

    name: str

    def __str__(self) -> str:
        return f"%{self.name}"


def shown(value: Any) -> str:
    """Returns a value as gin writes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    return str(value) if isinstance(value, Reference | Macro) else repr(value)


@dataclass(frozen=True)
class Binding:
    """`scope/configurable.argument = value`, where it stands, and whether that is in a file.

    A macro's definition is a binding whose `argument` is empty and whose `configurable` is the
    macro's name.
    """

    scope: str
    configurable: str
    argument: str
    value: Any
    where: str
    in_file: bool = True

    @property
    def name(self) -> str:
        """The left side, as written."""
        scope = f"{self.scope}/" if self.scope else ""
        return f"{scope}{self.configurable}" + (f".{self.argument}" if self.argument else "")


class _Delegate(config_parser.ParserDelegate):
    """Keeps references and macros as data."""

    def configurable_reference(self, scoped_configurable_name, evaluate):
        return Reference(scoped_configurable_name, evaluate)

    def macro(self, macro_name):
        return Macro(macro_name)


def read(
    files: Iterable[StrPath],
    bindings: Iterable[str] = (),
    location_prefixes: Iterable[StrPath] = (),
) -> list[Binding]:
    """Returns the bindings of gin files, in the order in which gin applies them.

    Args:
        files: Names of gin files, such as `"mine.gin"`, `"dataset.gin"` or
            `"models/medium_primer.gin"`; `GinSearch` finds them.
        bindings: Further bindings as `--gin_param` takes them; they come last.
        location_prefixes: Folders to search, as `--gin_location_prefix` takes them.

    Returns:
        List of `Binding`; of two for the same argument the later one counts.

    Raises:
        UserError: A file is missing, is not gin or includes itself.
    """
    search = GinSearch(location_prefixes)
    found = [binding for file in files for binding in _read_file(file, search)]
    for text in bindings:
        found += _statements(text, f"the binding {text!r}", search, ())
    return found


def read_text(text: str, source: str) -> list[Binding]:
    """Returns the bindings of a gin file's text.

    Args:
        text: Content of a gin file.
        source: Name of the text in messages.
    """
    return _statements(text, source, GinSearch(), ())


def _read_file(
    name: StrPath,
    search: GinSearch,
    included_from: str = "",
    open_files: tuple[str, ...] = (),
) -> list[Binding]:
    path = search.find(name, *open_files[-1:])
    if path is None:
        raise UserError(f"There is no gin file {name}{included_from}.")
    check_not_open(path, open_files)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a gin file: it is not UTF-8 text.") from error
    return _statements(text, path, search, (*open_files, path))


def _statements(
    text: str, source: str, search: GinSearch, open_files: tuple[str, ...]
) -> list[Binding]:
    found: list[Binding] = []
    try:
        for statement in config_parser.ConfigParser(text, _Delegate()):
            line = getattr(statement.location, "line_num", None)
            where = f"{source}, line {line}" if open_files else source
            if isinstance(statement, config_parser.IncludeStatement):
                included = f", included in {where}"
                found += _read_file(statement.filename, search, included, open_files)
            elif isinstance(statement, config_parser.BindingStatement):
                scope, selector, argument, value, _ = statement
                in_file = bool(open_files)
                found.append(Binding(scope, selector, argument, value, where, in_file))
    except UserError:
        raise
    except SyntaxError as error:
        line = f", line {error.lineno}" if open_files and error.lineno else ""
        raise UserError(f"Not gin syntax in {source}{line}: {error.msg}") from error
    except (tokenize.TokenError, ValueError, RecursionError) as error:
        # Python's tokenizer and literals.
        raise UserError(f"Not gin syntax in {source}: {error.args[0]}.") from error
    return found
