"""Options that several subcommands share, and options made from the fields of `RunConfig`."""

import argparse
import dataclasses
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from typing import Any

from primer_tf.training.config import check_value, config_field

# Fields that hold a list of files, of which the command line takes several words.
SEVERAL = ("data", "validation_data")


class JoinedWords(argparse.Action):
    """Takes one or more words, as a shell makes them of a glob, and joins them with commas."""

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Stores the words."""
        setattr(namespace, self.dest, ",".join(values or ()))


def add_field(
    parser: ArgumentParser,
    name: str,
    *,
    option: str | None = None,
    help: str | None = None,
    **overrides: Any,
) -> None:
    """Adds the option of a field of `RunConfig`.

    Args:
        parser: The parser to add it to.
        name: The name of the field.
        option: The name of the option without its dashes. Defaults to the name of the field.
        help: What the option means. Defaults to the help of the field.
        **overrides: Arguments of `add_argument` that differ from those of the field.
    """
    field = config_field(name)
    arguments: dict[str, Any] = {"help": help or field.metadata["help"]}
    if field.type is bool:
        arguments["action"] = "store_true"
    elif field.type in (int, float):
        arguments["type"] = field.type
    elif field.type == float | None:
        arguments["type"] = float
    elif name in SEVERAL:
        arguments |= {"nargs": "+", "action": JoinedWords}
    arguments |= {"default": _default(field), **overrides}
    shown = arguments["default"]
    if shown is argparse.SUPPRESS:
        shown = _default(field)
    if shown is not None and shown is not False:
        arguments["help"] += f" (default: {shown})"
    parser.add_argument(f"--{option or name}", **arguments)


def _default(field: dataclasses.Field) -> Any:
    return None if field.default is dataclasses.MISSING else field.default


def add_fields(parser: ArgumentParser, fields: Iterable[dataclasses.Field]) -> None:
    """Adds an option for each field of a configuration that has a help text.

    Options that are not given are absent from the parsed arguments: a resumed run keeps its own
    values, and gin files come before defaults.

    Args:
        parser: The parser to add them to.
        fields: The fields of `RunConfig`.
    """
    for field in fields:
        if "help" in field.metadata:
            add_field(parser, field.name, default=argparse.SUPPRESS)


def check_field(arguments: Namespace, name: str, *, option: str | None = None) -> None:
    """Checks the value of an option that `add_field` added.

    Args:
        arguments: The parsed arguments.
        name: The name of the field.
        option: The name of the option. Defaults to the name of the field.

    Raises:
        UserError: The field cannot have this value.
    """
    option = option or name
    check_value(config_field(name), getattr(arguments, option), option)


def add_gin(parser: ArgumentParser, use: str) -> None:
    """Adds T5's options for gin files.

    Args:
        parser: The parser to add them to.
        use: What the subcommand does with the files, for the help.
    """
    parser.add_argument(
        "--gin_file", action="append", default=[], help=f"may be repeated, as T5's; {use}"
    )
    parser.add_argument(
        "--gin_param", action="append", default=[], help="binding; may be repeated, as T5's"
    )
    parser.add_argument(
        "--gin_location_prefix",
        type=lambda text: text.split(","),
        default=[],
        help="folders with gin files, separated by commas, as T5's",
    )
