"""Random search, the baseline of the evolution."""

from random import Random

from primer_tf.programs.program import Program
from primer_tf.search.breeder import Breeder, Child

LONGEST_CHAIN = 8


class RandomSearch:
    """Proposes programs 1 to 8 random mutations away from the start, whatever others reached.

    Args:
        start: The program that the search starts from.
        breeder: A `Breeder`.
        seed: Seed of the choices.
    """

    def __init__(self, start: Program, breeder: Breeder, seed: int) -> None:
        self._start, self._breeder, self._random = start, breeder, Random(seed)

    def propose(self) -> tuple[Program, Child]:
        """Returns `(start, child)`."""
        length = self._random.randint(1, LONGEST_CHAIN)
        return self._start, self._breeder.chain(self._start, length, self._random)

    def feedback(self, program: str, loss: float) -> None:
        """Ignores the loss of a program."""
