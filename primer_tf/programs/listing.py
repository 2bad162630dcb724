"""Programs as text to read."""

from primer_tf.programs.graph import live_instructions
from primer_tf.programs.primitives import PRIMITIVES
from primer_tf.programs.program import NUM_INPUTS, Instruction, Program, Subprogram


def listing(program: Program) -> str:
    """Returns a program as text, one instruction a line.

    Args:
        program: A `Program`.

    Returns:
        A block for each subprogram. What the operation does not read is left out; `8 x` stands
        before one that runs in 8 branches.

    Example:

    >>> from primer_tf.programs import listing, transformer
    >>> print(listing(transformer()).split("\\n\\n")[-1])
    relu(a):
      c = max(a, 0)
      return c
    """
    return "\n\n".join(_block(program, each) for each in program.subprograms)


def _block(program: Program, subprogram: Subprogram) -> str:
    inputs = ", ".join(map(state_name, inputs_of(program, subprogram.name)))
    lines = [f"{subprogram.name}({inputs}):"]
    for position, instruction in enumerate(subprogram.instructions):
        lines.append(f"  {state_name(NUM_INPUTS + position)} = {expression(program, instruction)}")
    last = state_name(NUM_INPUTS + len(subprogram.instructions) - 1)
    return "\n".join([*lines, f"  return {last}"])


def expression(program: Program, instruction: Instruction) -> str:
    """Returns the right side of an instruction's line in the listing of a program."""
    primitive = PRIMITIVES.get(instruction.operation)
    inputs = (instruction.input_1, instruction.input_2)
    arguments = [state_name(inputs[i]) for i in inputs_of(program, instruction.operation)]
    uses = primitive.uses if primitive else ()
    if "constant" in uses:
        arguments.append(f"{program.constants[instruction.constant]:.4g}")
    if "dimension" in uses:
        arguments.append(f"channels={program.dimensions[instruction.dimension]}/8")
    branches = f"{instruction.branches} x " if instruction.branches > 1 else ""
    return f"{branches}{instruction.operation}({', '.join(arguments)})"


def inputs_of(program: Program, operation: str) -> list[int]:
    """Returns which of the two inputs a primitive or a subprogram reads."""
    if operation in PRIMITIVES:
        return list(range(PRIMITIVES[operation].num_inputs))
    return sorted(live_instructions(program)[operation].inputs)


def state_name(index: int) -> str:
    """Returns the letter of a state: a and b are the inputs of the subprogram."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return letters[index] if index < len(letters) else f"s{index}"
