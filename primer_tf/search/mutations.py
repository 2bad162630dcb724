"""The mutations of the search (Primer, appendix A.2)."""

import dataclasses
from collections.abc import Callable, Sequence
from random import Random

from primer_tf.programs.library import DIMENSIONS
from primer_tf.programs.listing import expression
from primer_tf.programs.primitives import PRIMITIVES
from primer_tf.programs.program import BRANCHES, NUM_INPUTS, Instruction, Program


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A program and what was done to its parent.

    Attributes:
        program: The mutated `Program`.
        description: The edit in words.
    """

    program: Program
    description: str


def mutate(
    program: Program, random: Random, operations: Sequence[str] = tuple(PRIMITIVES)
) -> Mutation:
    """Applies one mutation, of a kind drawn uniformly from `MUTATIONS`.

    Args:
        program: The parent.
        random: Source of random numbers.
        operations: Names of the primitives that mutations may bring in. Defaults to all.

    Returns:
        A `Mutation`. The program is well-formed, but shapes may not go together.

    Raises:
        InvalidProgram: The mutation makes an instruction read a state before it exists.

    Example:

    >>> from random import Random
    >>> from primer_tf.programs import transformer
    >>> from primer_tf.search.mutations import mutate
    >>> mutate(transformer(), Random(3)).description
    'insert reduce_max(b) at 0 of residual'
    """
    return random.choice(list(MUTATIONS.values()))(program, random, operations)


def delete(program: Program, random: Random, operations: Sequence[str]) -> Mutation:
    """Deletes an instruction; those that read its result read its first input instead."""
    index, position = _any_instruction(program, random, at_least=2)
    return Mutation(
        program.with_subprogram(index, _without(program, index, position)),
        f"delete {_named(program, index, position)}",
    )


def insert(program: Program, random: Random, operations: Sequence[str]) -> Mutation:
    """Inserts a random instruction; one of those that read its first input reads its result.

    Its fields are drawn uniformly, but half of all insertions read the newest state first, and half
    have one branch.
    """
    index = random.randrange(len(program.subprograms))
    position = random.randint(0, len(program.subprograms[index].instructions))
    return _insert(program, index, position, random, operations)


def delete_and_insert(program: Program, random: Random, operations: Sequence[str]) -> Mutation:
    """Deletes an instruction and inserts another one in its place."""
    index, position = _any_instruction(program, random, at_least=2)
    deleted = program.with_subprogram(index, _without(program, index, position))
    inserted = _insert(deleted, index, position, random, operations)
    name = _named(program, index, position)
    return Mutation(inserted.program, f"delete {name}, {inserted.description}")


def mutate_field(program: Program, random: Random, operations: Sequence[str]) -> Mutation:
    """Gives one field of an instruction another value; only fields that are read count."""
    index, position = _any_instruction(program, random)
    instruction = program.subprograms[index].instructions[position]
    field = random.choice(fields_read(instruction))
    values = [
        value
        for value in _values(program, index, position, field, operations)
        if value != getattr(instruction, field)
    ]
    if not values:  # One state, or a bank of one value.
        return Mutation(program, f"leave {_named(program, index, position)} as it is")
    changed = dataclasses.replace(instruction, **{field: random.choice(values)})
    result = _with_instruction(program, index, position, changed)
    return Mutation(
        result,
        f"change {field.replace('_', ' ')} of {_named(program, index, position)} "
        f"to {expression(result, changed)}",
    )


def swap(program: Program, random: Random, operations: Sequence[str]) -> Mutation:
    """Exchanges two instructions of a subprogram; each place goes on reading what it read.

    With their inputs, hardly any two could be exchanged: the earlier one would read later states.
    """
    several = [i for i, s in enumerate(program.subprograms) if len(s.instructions) > 1]
    if not several:
        return Mutation(program, "swap nothing")
    index = random.choice(several)
    body = list(program.subprograms[index].instructions)
    one, other = sorted(random.sample(range(len(body)), 2))
    first, second = body[one], body[other]
    body[one] = dataclasses.replace(second, input_1=first.input_1, input_2=first.input_2)
    body[other] = dataclasses.replace(first, input_1=second.input_1, input_2=second.input_2)
    return Mutation(
        program.with_subprogram(index, tuple(body)),
        f"swap instructions {one} and {other} of {program.subprograms[index].name}",
    )


def mutate_bank_value(program: Program, random: Random, operations: Sequence[str]) -> Mutation:
    """Changes a constant `x` to `x * 10^X + Y`, `X` and `Y` standard normal, or draws a dimension.

    The bank and the place in it are drawn uniformly; dimensions are those of the paper.
    """
    if random.random() < 0.5:
        place = random.randrange(len(program.constants))
        constants = list(program.constants)
        constants[place] = constants[place] * 10 ** random.gauss(0, 1) + random.gauss(0, 1)
        return Mutation(
            dataclasses.replace(program, constants=tuple(constants)),
            f"change constant {program.constants[place]:.4g} to {constants[place]:.4g}",
        )
    place = random.randrange(len(program.dimensions))
    dimensions = list(program.dimensions)
    dimensions[place] = random.choice([d for d in DIMENSIONS if d != dimensions[place]])
    return Mutation(
        dataclasses.replace(program, dimensions=tuple(dimensions)),
        f"change dimension {program.dimensions[place]}/8 to {dimensions[place]}/8",
    )


MUTATIONS: dict[str, Callable[[Program, Random, Sequence[str]], Mutation]] = {
    "delete": delete,
    "insert": insert,
    "delete_and_insert": delete_and_insert,
    "mutate_field": mutate_field,
    "swap": swap,
    "mutate_bank_value": mutate_bank_value,
}


def fields_read(instruction: Instruction) -> list[str]:
    """Returns the names of the fields that an instruction reads."""
    primitive = PRIMITIVES.get(instruction.operation)
    fields = ["operation", "input_1"]
    if primitive is None or primitive.num_inputs == 2:
        fields.append("input_2")
    if primitive is not None:
        fields += primitive.uses
    return [*fields, "branches"]


def _any_instruction(program, random, at_least=1):
    """Returns the subprogram and position of an instruction, drawn uniformly from all.

    Only subprograms of `at_least` so many instructions count.
    """
    places = [
        (index, position)
        for index, subprogram in enumerate(program.subprograms)
        for position in range(len(subprogram.instructions))
        if len(subprogram.instructions) >= at_least
    ]
    return random.choice(places)


def _values(program, index, position, field, operations):
    """Returns the values that a field of an instruction can have."""
    if field == "operation":
        return [*operations, *(s.name for s in program.subprograms[index + 1 :])]
    if field in ("input_1", "input_2"):
        return range(NUM_INPUTS + position)
    if field == "constant":
        return range(len(program.constants))
    if field == "dimension":
        return range(len(program.dimensions))
    return BRANCHES


def _insert(program, index, position, random, operations):
    """Inserts a random instruction at a position of a subprogram."""
    drawn = {
        field.name: random.choice(_values(program, index, position, field.name, operations))
        for field in dataclasses.fields(Instruction)
    }
    if random.random() < 0.5:
        drawn["input_1"] = NUM_INPUTS + position - 1  # The newest state.
    if random.random() < 0.5:
        drawn["branches"] = 1
    new = Instruction(**drawn)
    state = NUM_INPUTS + position
    body = program.subprograms[index].instructions
    later = [_renumbered(each, lambda s: s + (s >= state)) for each in body[position:]]
    readers = [
        (i, field)
        for i, each in enumerate(later)
        for field in ("input_1", "input_2")
        if field in fields_read(each) and getattr(each, field) == new.input_1
    ]
    if readers:
        i, field = random.choice(readers)
        later[i] = dataclasses.replace(later[i], **{field: state})
    changed = program.with_subprogram(index, (*body[:position], new, *later))
    return Mutation(changed, f"insert {_named(changed, index, position)}")


def _without(program, index, position):
    """Returns the instructions of a subprogram without one."""
    body = program.subprograms[index].instructions
    state, source = NUM_INPUTS + position, body[position].input_1

    def renumber(read):
        return source if read == state else read - (read > state)

    return (*body[:position], *(_renumbered(each, renumber) for each in body[position + 1 :]))


def _renumbered(instruction, renumber):
    return dataclasses.replace(
        instruction, input_1=renumber(instruction.input_1), input_2=renumber(instruction.input_2)
    )


def _with_instruction(program, index, position, instruction):
    body = list(program.subprograms[index].instructions)
    body[position] = instruction
    return program.with_subprogram(index, tuple(body))


def _named(program, index, position):
    subprogram = program.subprograms[index]
    return (
        f"{expression(program, subprogram.instructions[position])} at {position} of "
        f"{subprogram.name}"
    )
