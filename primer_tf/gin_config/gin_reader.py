"""Reads gin files into bindings, without the modules that they configure.

gin's own parser reads the syntax, the statements are its own; what is different is that a binding
is kept as data, with the place where it stands, instead of being handed to a function.
"""

import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gin import config_parser

from primer_tf.errors import UserError
from primer_tf.gin_config.gin_search import GinSearch, check_not_open


@dataclass(frozen=True)
class Reference:
    """`@name` or, if `evaluate`, `@name()` as a value."""

    name: str
    evaluate: bool = False

    def __str__(self):
        return f"@{self.name}" + ("()" if self.evaluate else "")


@dataclass(frozen=True)
class Macro:
    """`%name` as a value."""

    name: str

    def __str__(self):
        return f"%{self.name}"


def shown(value):
    """Returns a value as gin would write it."""
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    return str(value) if isinstance(value, Reference | Macro) else repr(value)


@dataclass(frozen=True)
class Binding:
    """`scope/configurable.argument = value`, and where it stands.

    A macro's definition is a binding whose `argument` is empty and whose `configurable` is the
    macro's name.
    """

    scope: str
    configurable: str
    argument: str
    value: Any
    where: str

    @property
    def name(self):
        """The left side, as written."""
        scope = f"{self.scope}/" if self.scope else ""
        return f"{scope}{self.configurable}" + (f".{self.argument}" if self.argument else "")


class _Delegate(config_parser.ParserDelegate):
    """Keeps references and macros as what they are."""

    def configurable_reference(self, scoped_configurable_name, evaluate):
        return Reference(scoped_configurable_name, evaluate)

    def macro(self, macro_name):
        return Macro(macro_name)


def read(files, bindings=(), location_prefixes=()):
    """Returns the bindings of gin files, in the order in which gin applies them.

    Args:
        files: Names of gin files, found as `GinSearch` says: `"mine.gin"`, `"dataset.gin"`,
            `"models/medium_primer.gin"`.
        bindings: More bindings, each a string as `--gin_param` takes it; they come last.
        location_prefixes: Folders to search, as `--gin_location_prefix` takes them.

    Returns:
        List of `Binding`; of two for the same argument the later one counts.

    Raises:
        UserError: A file is missing, not gin, or includes itself.
    """
    search = GinSearch(location_prefixes)
    found = [binding for file in files for binding in _read_file(file, search)]
    for text in bindings:
        found += _statements(text, f"the binding {text!r}", search, ())
    return found


def read_text(text, source):
    """Returns the bindings of a gin file's text; `source` names it in messages."""
    return _statements(text, source, GinSearch(), ())


def _read_file(name, search, included_from="", open_files=()):
    path = search.find(name, *open_files[-1:])
    if path is None:
        raise UserError(f"There is no gin file {name}{included_from}.")
    check_not_open(path, open_files)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a gin file: it is not UTF-8 text.") from error
    return _statements(text, path, search, (*open_files, path))


def _statements(text, source, search, open_files):
    found = []
    try:
        for statement in config_parser.ConfigParser(text, _Delegate()):
            line = getattr(statement.location, "line_num", None)
            where = f"{source}, line {line}" if open_files else source
            if isinstance(statement, config_parser.IncludeStatement):
                included = f", included in {where}"
                found += _read_file(statement.filename, search, included, open_files)
            elif isinstance(statement, config_parser.BindingStatement):
                scope, selector, argument, value, _ = statement
                found.append(Binding(scope, selector, argument, value, where))
    except UserError:
        raise
    except SyntaxError as error:
        line = f", line {error.lineno}" if open_files and error.lineno else ""
        raise UserError(f"Not gin syntax in {source}{line}: {error.msg}") from error
    except (tokenize.TokenError, ValueError, RecursionError) as error:
        # Python's tokenizer and literals.
        raise UserError(f"Not gin syntax in {source}: {error.args[0]}.") from error
    return found
