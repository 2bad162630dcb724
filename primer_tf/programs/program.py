"""A decoder block as data: a bank of subprograms, of constants and of dimensions."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from primer_tf.errors import UserError
from primer_tf.programs.primitive import InvalidProgram
from primer_tf.programs.primitives import PRIMITIVES

BRANCHES = (1, 2, 4, 8, 16)
# States that a subprogram starts with: the two inputs of its call.
NUM_INPUTS = 2


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One operation of a subprogram (Primer, section 3 and appendix A.1).

    Attributes:
        operation: Name of a primitive, or of a later subprogram to call.
        input_1: State that is the first input: 0 and 1 are the inputs of the subprogram, `2 + i`
            is the result of instruction `i`. Defaults to 0.
        input_2: State that is the second input. Defaults to 0.
        constant: Index in the program's bank of constants. Defaults to 0.
        dimension: Index in the program's bank of dimensions. Defaults to 0.
        branches: Number of parallel copies, 1, 2, 4, 8 or 16. Each has weights of its own, and
            their results are concatenated. Defaults to 1.
    """

    operation: str
    input_1: int = 0
    input_2: int = 0
    constant: int = 0
    dimension: int = 0
    branches: int = 1


@dataclasses.dataclass(frozen=True)
class Subprogram:
    """A named list of instructions; the last one's result is its output.

    Attributes:
        name: Name, which is that of no primitive.
        instructions: The `Instruction`s, at least one.
    """

    name: str
    instructions: tuple[Instruction, ...]


@dataclasses.dataclass(frozen=True)
class Program:
    """A decoder block as data (Primer, section 3).

    The first subprogram, MAIN, gets the block's input as both of its inputs, and returns the
    block's output. A subprogram may call only later ones, so no program is recursive.

    Args:
        subprograms: The `Subprogram`s, MAIN first.
        constants: Bank of real numbers.
        dimensions: Bank of numbers of channels, in eighths of the model's `hidden_dim`.

    Raises:
        InvalidProgram: An instruction is unknown, or an index points outside; the message says
            which.

    Example:

    >>> from primer_tf.programs import Instruction, Program, Subprogram
    >>> main = Subprogram("main", (Instruction("max"), Instruction("square", input_1=2)))
    >>> program = Program((main,), constants=(0.0,), dimensions=(8,))
    >>> Program.from_json(program.to_json()) == program
    True
    """

    subprograms: tuple[Subprogram, ...]
    constants: tuple[float, ...]
    dimensions: tuple[int, ...]

    def __post_init__(self) -> None:
        names = [subprogram.name for subprogram in self.subprograms]
        if not names:
            raise InvalidProgram("a program needs at least one subprogram")
        if len({*names, *PRIMITIVES}) < len(names) + len(PRIMITIVES):
            raise InvalidProgram("two subprograms, or a subprogram and a primitive, share a name")
        if not self.constants or not self.dimensions:
            raise InvalidProgram("a bank is empty")
        if min(self.dimensions) < 1:
            raise InvalidProgram("a dimension is below 1")
        for index, subprogram in enumerate(self.subprograms):
            if not subprogram.instructions:
                raise InvalidProgram(f"{subprogram.name} has no instructions")
            for position, instruction in enumerate(subprogram.instructions):
                reason = self._fault(instruction, position, names[index + 1 :])
                if reason:
                    raise InvalidProgram(f"instruction {position} of {subprogram.name} {reason}")

    def _fault(self, instruction: Instruction, position: int, later: list[str]) -> str | None:
        if instruction.operation not in PRIMITIVES and instruction.operation not in later:
            return (
                f"is {instruction.operation!r}, which is neither a primitive nor a later subprogram"
            )
        if not all(
            0 <= state < NUM_INPUTS + position
            for state in (instruction.input_1, instruction.input_2)
        ):
            return "reads a state that does not exist yet"
        if not 0 <= instruction.constant < len(self.constants):
            return f"has constant {instruction.constant}, which is not in the bank"
        if not 0 <= instruction.dimension < len(self.dimensions):
            return f"has dimension {instruction.dimension}, which is not in the bank"
        if instruction.branches not in BRANCHES:
            return f"has {instruction.branches} branches; 1, 2, 4, 8 and 16 are possible"
        return None

    def subprogram(self, name: str) -> Subprogram:
        """Returns a subprogram by name."""
        return next(each for each in self.subprograms if each.name == name)

    def with_subprogram(self, index: int, instructions: tuple[Instruction, ...]) -> Program:
        """Returns the program with other instructions in one subprogram."""
        subprograms = list(self.subprograms)
        subprograms[index] = dataclasses.replace(subprograms[index], instructions=instructions)
        return dataclasses.replace(self, subprograms=tuple(subprograms))

    def to_json(self) -> str:
        """Returns the program as JSON text; fields of instructions at their defaults are left out.

        Returns:
            A string, the same for equal programs.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(Instruction)}
        described = {
            "subprograms": [
                {
                    "name": subprogram.name,
                    "instructions": [
                        {k: v for k, v in vars(each).items() if v != defaults[k]}
                        for each in subprogram.instructions
                    ],
                }
                for subprogram in self.subprograms
            ],
            "constants": list(self.constants),
            "dimensions": list(self.dimensions),
        }
        return json.dumps(described)

    @classmethod
    def from_json(cls, text: str) -> Program:
        """Returns the program that `to_json` described.

        Args:
            text: The JSON text.

        Raises:
            UserError: It does not describe a program.
        """
        try:
            described: dict[str, Any] = json.loads(text)
            subprograms = tuple(
                Subprogram(
                    str(each["name"]),
                    tuple(_instruction(fields) for fields in each["instructions"]),
                )
                for each in described["subprograms"]
            )
            constants = tuple(map(float, described["constants"]))
            dimensions = tuple(map(int, described["dimensions"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"The text is no program in JSON: {type(error).__name__}: {error}."
            ) from error
        return cls(subprograms, constants, dimensions)


def _instruction(fields: dict[str, Any]) -> Instruction:
    numbers = {name: int(value) for name, value in fields.items() if name != "operation"}
    return Instruction(str(fields["operation"]), **numbers)
