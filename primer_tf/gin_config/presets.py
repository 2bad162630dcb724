"""The presets: every file of `gin/models`, by name.

Names and numbers are those of the T5 experiments of the Primer paper; the tiny size is ours, for
CPUs. A preset describes a model with fresh weights: no trained Primer weights were published.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from primer_tf import gin_directory
from primer_tf.errors import UserError
from primer_tf.gin_config import gin_reader
from primer_tf.gin_config.model_arguments import backbone_arguments
from primer_tf.gin_config.resolved_bindings import ResolvedBindings

SIZES = ("tiny", "small", "medium", "large", "xl")


@cache
def preset_names() -> tuple[str, ...]:
    """Returns the names of all presets, small ones first."""

    def size_and_name(name: str) -> tuple[int, str]:
        size = name.split("_")[0]
        return (SIZES.index(size) if size in SIZES else len(SIZES), name)

    names = (path.stem for path in (gin_directory() / "models").glob("*.gin"))
    return tuple(sorted(names, key=size_and_name))


@cache
def _arguments(name: str) -> dict[str, Any]:
    # By path, as the user may have a file of the same name.
    path = gin_directory() / "models" / f"{name}.gin"
    return backbone_arguments(ResolvedBindings(gin_reader.read([path])))


def preset_arguments(name: str) -> dict[str, Any]:
    """Returns the arguments of a preset's `PrimerBackbone`.

    Args:
        name: One of `preset_names()`.

    Returns:
        A new dict.
    """
    return dict(_arguments(name))


@cache
def preset_parameters(name: str) -> int:
    """Returns the number of parameters that the first line of a preset's file states."""
    with open(gin_directory() / "models" / f"{name}.gin", encoding="utf-8") as file:
        stated = re.match(r"# ([\d,]+) parameters", file.readline())
    if stated is None:
        raise UserError(f"The first line of models/{name}.gin does not state its parameters.")
    return int(stated[1].replace(",", ""))


def preset_table() -> str:
    """Returns the presets as a table: name, shape, and exact number of parameters."""
    rows = [("preset", "layers", "d_model", "heads", "d_ff", "parameters")]
    for name in preset_names():
        arguments = preset_arguments(name)
        keys = ("num_layers", "hidden_dim", "intermediate_dim")
        layers, d_model, d_ff = (str(arguments[key]) for key in keys)
        heads = f"{arguments['num_heads']} x {arguments['head_dim']}"
        rows.append((name, layers, d_model, heads, d_ff, f"{preset_parameters(name):,}"))
    return format_table(rows)


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Returns rows of strings as a text table with the first column flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )
