"""What a primitive of programs declares."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from primer_tf.errors import UserError
from primer_tf.programs.value_shape import ValueShape
from primer_tf.types import Tensor

Shapes = Sequence[ValueShape]


class InvalidProgram(UserError):
    """A program that cannot run; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """Where an instruction runs, for the inference of its shape.

    Attributes:
        units: The instruction's dimension as a number of channels.
        branches: Number of branches of the innermost call.
    """

    units: int
    branches: int


@dataclasses.dataclass(frozen=True)
class Call:
    """What a primitive computes with.

    Attributes:
        inputs: The input tensors, `[B, N, T, D]` or `[B, N, T, T]`. `N` is 1 if all branches share
            the value.
        shapes: Their `ValueShape`s.
        weight: `[N, ...]`, or `None`.
        constant: The constant.
        copies: Number of branches of all calls together, `N`.
        branches: Number of branches of the innermost call.
        triangle: `[T, T]`, true where the key is not in the future of the query.
        position_bias: `[H, T, T]`, or `None`.
    """

    inputs: Sequence[Tensor]
    shapes: Shapes
    weight: Any
    constant: float
    copies: int
    branches: int
    triangle: Tensor
    position_bias: Tensor | None


def same(shapes: Shapes, setting: Setting) -> ValueShape:
    """Returns the shape of the first input."""
    return shapes[0]


@dataclasses.dataclass(frozen=True)
class Primitive:
    """An operation that instructions name.

    Attributes:
        name: Its name in instructions.
        apply: Function `fn(ops, call)` from a module with the functions of `keras.ops` and a
            `Call` to the result.
        num_inputs: Number of inputs, 1 or 2. Defaults to 1.
        infer: Returns the shape of the result, or raises `InvalidProgram` with the reason. Defaults
            to that of the first input.
        weight: Returns the shape of a branch's weight from the shapes of the first input and the
            result, or `None` if there are no weights. Defaults to `None`.
        initial: Initial value of the weight: `"normal"`, of standard deviation `fan_in ** -0.5`
            with all axes but the last as inputs, or a number, or one for each entry of the first
            axis. Defaults to `"normal"`.
        products: Returns the multiply-adds for each value of the result, from the shape of the
            first input and the sequence length. Defaults to `None`: one operation for each value
            that is read.
        uses: Which of `"constant"` and `"dimension"` it reads. Defaults to neither.
        differs_by_branch: Whether branches differ although their inputs do not. Defaults to
            `False`; weights imply it.
    """

    name: str
    apply: Callable[[Any, Call], Tensor]
    num_inputs: int = 1
    infer: Callable[[Shapes, Setting], ValueShape] = same
    weight: Callable[[ValueShape, ValueShape], tuple[int, ...]] | None = None
    initial: str | float | tuple[float, ...] = "normal"
    products: Callable[[ValueShape, int], int] | None = None
    uses: tuple[str, ...] = ()
    differs_by_branch: bool = False
