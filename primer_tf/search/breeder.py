"""Children: mutations of a parent that are valid programs and compute something else."""

import dataclasses
from collections.abc import Callable
from random import Random

from primer_tf.errors import UserError
from primer_tf.programs.graph import infer_graph
from primer_tf.programs.primitive import InvalidProgram
from primer_tf.programs.program import Program
from primer_tf.search.fingerprint import fingerprint
from primer_tf.search.mutations import mutate

ATTEMPTS = 1000


@dataclasses.dataclass(frozen=True)
class Child:
    """A program that may be trained.

    Attributes:
        program: The `Program`.
        edit: What was done to the parent, in words.
        fingerprint: What equal programs share.
    """

    program: Program
    edit: str
    fingerprint: str


class Breeder:
    """Mutates a parent until a valid child differs from it in what it computes.

    Args:
        hidden_dim: Channels of the model.
        operations: Names of the primitives that mutations bring in.
        on_rejected: Function `fn(edit, reason)` that is called for each mutation that is not a
            valid program, or equal to its parent.
    """

    def __init__(
        self,
        hidden_dim: int,
        operations: tuple[str, ...],
        on_rejected: Callable[[str, str], object] = lambda edit, reason: None,
    ) -> None:
        self.hidden_dim = hidden_dim
        self.operations = operations
        self.on_rejected = on_rejected

    def child(self, parent: Program, random: Random) -> Child:
        """Returns a child.

        Args:
            parent: The parent.
            random: Source of random numbers.

        Returns:
            A `Child`.

        Raises:
            UserError: None of 1,000 mutations gives one.
        """
        own, operations = fingerprint(parent), infer_graph(parent, self.hidden_dim).operations
        for _ in range(ATTEMPTS):
            edit = "a mutation that reads a state before it exists"
            try:
                mutation = mutate(parent, random, self.operations)
                edit = mutation.description
                graph = infer_graph(mutation.program, self.hidden_dim)
                # Most that change nothing change dead code, which takes no arithmetic to see.
                digest = own if graph.operations == operations else fingerprint(mutation.program)
            except InvalidProgram as error:
                self.on_rejected(edit, str(error))
                continue
            if digest != own:
                return Child(mutation.program, edit, digest)
            self.on_rejected(edit, "it computes what its parent computes")
        raise UserError(
            f"None of {ATTEMPTS} mutations of a program gives another one; allow more operations."
        )

    def chain(self, parent: Program, length: int, random: Random) -> Child:
        """Returns what a number of mutations, one after the other, make of a program."""
        child = self.child(parent, random)
        edits = [child.edit]
        for _ in range(length - 1):
            child = self.child(child.program, random)
            edits.append(child.edit)
        return dataclasses.replace(child, edit="; ".join(edits))
