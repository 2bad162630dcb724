"""What an argument of a gin configurable means for a Keras model.

In a table of arguments, a value that is none of the classes below is a default, and the argument
means nothing to a `PrimerBackbone`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

Arguments = Mapping[str, Any]
"""All arguments of a `PrimerBackbone`, by name."""


class Only:
    """An argument of which the Keras model supports some values only.

    Args:
        *values: The supported values; the first is written where the default is none of them.
        default: Value of an argument that is not bound. Defaults to the first of `values`.
    """

    def __init__(self, *values: Any, **default: Any) -> None:
        self.values = values
        self.default = default.get("default", values[0])


@dataclasses.dataclass(frozen=True)
class BackboneArgument:
    """An argument that is one of `PrimerBackbone`.

    Attributes:
        name: Name of the backbone's argument.
        default: Value of an argument that is not bound; `None` if it must be.
    """

    name: str
    default: Any = None


@dataclasses.dataclass(frozen=True)
class Translated:
    """An argument that the arguments of `PrimerBackbone` express in another way.

    Attributes:
        default: Value of an argument that is not bound.
        read: Returns the arguments of the backbone as a dict, given the value and a function from
            the name of another argument of the layer to its value. It raises `UserError` for what
            the Keras model does not support.
        write: Returns the right side of the binding, given all arguments of the backbone. It raises
            `UserError` for what Mesh TensorFlow does not support.
    """

    default: Any
    read: Callable[[Any, Callable[[str], Any]], dict[str, Any]]
    write: Callable[[Arguments], object]


Rules = Mapping[str, Any]
"""The arguments of a configurable: from the name of each to its default or one of the above."""


def default_of(rule: Any) -> Any:
    """Returns the value of an argument that is not bound."""
    return rule.default if isinstance(rule, Only | BackboneArgument | Translated) else rule
