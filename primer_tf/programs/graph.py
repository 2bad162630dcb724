"""A program as the graph of what it computes, with the shape of every value."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from primer_tf.programs.primitive import InvalidProgram, Setting
from primer_tf.programs.primitives import PRIMITIVES
from primer_tf.programs.program import NUM_INPUTS, Instruction, Program
from primer_tf.programs.value_shape import ValueShape

# Dimensions are in eighths of `hidden_dim`.
UNITS = 8
MAX_OPERATIONS = 200
MAX_BRANCHES = 32

# Nodes that no instruction names: the block's input, a value for each branch, and all branches'.
INPUT, REPEAT, CONCATENATE = "input", "repeat", "concatenate"


@dataclasses.dataclass(frozen=True)
class Node:
    """One operation of a graph.

    Attributes:
        operation: Name of a primitive, `"input"`, `"repeat"` or `"concatenate"`.
        inputs: Nodes that it reads.
        shape: `ValueShape` of a branch's value.
        copies: Number of values: one for each branch of all calls together, or 1 for all.
        total: Number of branches of all calls together.
        branches: Number of branches of the innermost call.
        constant: The constant, if the primitive reads one.
        weight: Shape of the weight, whose first axis has the branches, or `None`.
        path: Positions of the calls and of the instruction, joined by dots. No two nodes with
            weights have the same.
    """

    operation: str
    inputs: tuple[int, ...]
    shape: ValueShape
    copies: int = 1
    total: int = 1
    branches: int = 1
    constant: float = 0.0
    weight: tuple[int, ...] | None = None
    path: str = ""


@dataclasses.dataclass(frozen=True)
class Graph:
    """What a program computes, without the operations on which its output does not depend.

    Attributes:
        nodes: The `Node`s, the input first, the output last, each after those that it reads.
        num_heads: Number of branches that use the position bias, or `None` if none do.
    """

    nodes: tuple[Node, ...]
    num_heads: int | None

    @property
    def num_parameters(self) -> int:
        """Number of weights."""
        return sum(math.prod(node.weight) for node in self.nodes if node.weight)

    @property
    def operations(self) -> tuple[Node, ...]:
        """The nodes without their paths: the same for programs that differ only in dead code."""
        return tuple(dataclasses.replace(node, path="") for node in self.nodes)


def infer_graph(program: Program, hidden_dim: int) -> Graph:
    """Returns the graph of a program, with the shape of every value and weight.

    Args:
        program: A `Program`.
        hidden_dim: Channels of the block's input, `C`, a multiple of 8.

    Returns:
        A `Graph`.

    Raises:
        InvalidProgram: The program cannot run on `[B, T, C]`, or does not return `[B, T, C]`; the
            message says where and why.

    Example:

    >>> from primer_tf.programs import infer_graph, transformer
    >>> infer_graph(transformer(num_heads=4), hidden_dim=64).num_parameters
    49728
    """
    if hidden_dim % UNITS:
        raise InvalidProgram(f"hidden_dim {hidden_dim} is not a multiple of {UNITS}")
    builder = _Builder(program, hidden_dim)
    main = program.subprograms[0]
    output = builder.run(main.name, [0] * NUM_INPUTS, total=1, branches=1, path=())
    if builder.nodes[output].shape != ValueShape(hidden_dim):
        raise InvalidProgram(
            f"{main.name} returns {builder.nodes[output].shape} instead of {hidden_dim} channels"
        )
    return Graph(_in_order(builder.nodes, output), num_heads(program))


def num_heads(program: Program) -> int | None:
    """Returns the number of branches that add the position bias, or `None` if none do.

    It is the same for every `hidden_dim`.

    Args:
        program: A `Program`.

    Raises:
        InvalidProgram: Parts of the program add it in different numbers of branches.
    """
    live = live_instructions(program)
    counts: dict[str, set[int]] = {"position_bias": {1}}
    for subprogram in reversed(program.subprograms):  # Calls lead to later ones.
        counts[subprogram.name] = {
            instruction.branches * count
            for position, instruction in enumerate(subprogram.instructions)
            if position in live[subprogram.name].positions
            for count in counts.get(instruction.operation, ())
        }
    heads = sorted(counts[program.subprograms[0].name])
    if len(heads) > 1:
        raise InvalidProgram(f"position biases for {heads[0]} and for {heads[1]} heads")
    return heads[0] if heads else None


class _Builder:
    def __init__(self, program: Program, hidden_dim: int) -> None:
        self.program = program
        self.unit = hidden_dim // UNITS
        self.live = live_instructions(program)
        self.nodes = [Node(INPUT, (), ValueShape(hidden_dim))]

    def add(self, node: Node) -> int:
        if len(self.nodes) == MAX_OPERATIONS:
            raise InvalidProgram(f"it has more than {MAX_OPERATIONS} operations")
        self.nodes.append(node)
        return len(self.nodes) - 1

    def run(
        self,
        name: str,
        inputs: Sequence[int | None],
        total: int,
        branches: int,
        path: tuple[int, ...],
    ) -> int:
        """Adds the nodes of a subprogram, and returns the one with its result."""
        states: dict[int, int | None] = dict(enumerate(inputs))
        for position, instruction in enumerate(self.program.subprogram(name).instructions):
            if position not in self.live[name].positions:
                continue
            arguments = [states.get(each) for each in (instruction.input_1, instruction.input_2)]
            where = f"instruction {position} of {name} ({instruction.operation})"
            try:
                result = self.run_instruction(
                    instruction, arguments, total, branches, (*path, position)
                )
            except InvalidProgram as error:
                if str(error).startswith("instruction "):
                    raise
                raise InvalidProgram(f"{where}: {error}") from None
            states[NUM_INPUTS + position] = result
        return result  # That of the last instruction, which is live.

    def run_instruction(
        self,
        instruction: Instruction,
        arguments: Sequence[int | None],
        total: int,
        branches: int,
        path: tuple[int, ...],
    ) -> int:
        count = instruction.branches
        inner = total * count
        if inner > MAX_BRANCHES:
            raise InvalidProgram(f"more than {MAX_BRANCHES} branches run in parallel")
        if count > 1:
            branches = count
            used = used_inputs(instruction, self.live)
            arguments = [
                self.repeat(node, count, inner) if index in used and node is not None else None
                for index, node in enumerate(arguments)
            ]
        if instruction.operation in PRIMITIVES:
            result = self.apply(instruction, arguments, inner, branches, path)
        else:
            result = self.run(instruction.operation, arguments, inner, branches, path)
        return result if count == 1 else self.concatenate(result, count, total)

    def apply(
        self,
        instruction: Instruction,
        arguments: Sequence[int | None],
        total: int,
        branches: int,
        path: tuple[int, ...],
    ) -> int:
        primitive = PRIMITIVES[instruction.operation]
        inputs = tuple(node for node in arguments[: primitive.num_inputs] if node is not None)
        shapes = [self.nodes[node].shape for node in inputs]
        units = self.program.dimensions[instruction.dimension] * self.unit
        shape = primitive.infer(shapes, Setting(units, branches))
        weight = None
        if primitive.weight is not None:
            weight = (total, *primitive.weight(shapes[0], shape))
        differs = primitive.differs_by_branch or weight is not None
        copies = total if differs else max(self.nodes[node].copies for node in inputs)
        reads_constant = "constant" in primitive.uses
        return self.add(
            Node(
                instruction.operation,
                inputs,
                shape,
                copies,
                total,
                branches,
                self.program.constants[instruction.constant] if reads_constant else 0.0,
                weight,
                ".".join(map(str, path)),
            )
        )

    def repeat(self, node: int, count: int, total: int) -> int:
        """Returns a value for each branch of a call inside other branches."""
        source = self.nodes[node]
        if source.copies == 1:
            return node
        return self.add(Node(REPEAT, (node,), source.shape, total, total, count))

    def concatenate(self, node: int, count: int, total: int) -> int:
        source = self.nodes[node]
        if source.shape.channels is None:
            raise InvalidProgram("it runs in branches and returns scores, which are not joined")
        shape = ValueShape(source.shape.channels * count)
        copies = 1 if source.copies == 1 else total
        return self.add(Node(CONCATENATE, (node,), shape, copies, total, count))


@dataclasses.dataclass(frozen=True)
class Liveness:
    """What the output of a subprogram depends on.

    Attributes:
        positions: Positions of instructions.
        inputs: Which of the two inputs.
    """

    positions: set[int]
    inputs: set[int]


def live_instructions(program: Program) -> dict[str, Liveness]:
    """Returns what the output of each subprogram depends on."""
    live: dict[str, Liveness] = {}
    for subprogram in reversed(program.subprograms):  # Calls lead to later ones.
        last = len(subprogram.instructions) - 1
        states = {NUM_INPUTS + last}
        for position in range(last, -1, -1):
            if NUM_INPUTS + position not in states:
                continue
            instruction = subprogram.instructions[position]
            used = used_inputs(instruction, live)
            read = (instruction.input_1, instruction.input_2)
            states |= {state for index, state in enumerate(read) if index in used}
        positions = {state - NUM_INPUTS for state in states if state >= NUM_INPUTS}
        live[subprogram.name] = Liveness(positions, {s for s in states if s < NUM_INPUTS})
    return live


def used_inputs(instruction: Instruction, live: Mapping[str, Liveness]) -> set[int]:
    """Returns which of its two inputs an instruction reads, given what its callee depends on."""
    if instruction.operation in PRIMITIVES:
        return set(range(PRIMITIVES[instruction.operation].num_inputs))
    return live[instruction.operation].inputs


def _in_order(nodes: Sequence[Node], output: int) -> tuple[Node, ...]:
    """Returns the nodes on which the output depends, in an order that only the graph decides."""
    numbers: dict[int, int] = {0: 0}
    ordered = [nodes[0]]
    stack = [output]
    while stack:
        index = stack[-1]
        missing = [each for each in nodes[index].inputs if each not in numbers]
        if missing:
            stack.append(missing[0])
            continue
        stack.pop()
        if index not in numbers:
            numbers[index] = len(ordered)
            inputs = tuple(numbers[each] for each in nodes[index].inputs)
            ordered.append(dataclasses.replace(nodes[index], inputs=inputs))
    return tuple(ordered)
