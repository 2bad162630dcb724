"""Regularized evolution by PyGlove (Real et al. 2019; Primer, appendix A.2)."""

from random import Random

import pyglove as pg
from pyglove.ext import evolution

from primer_tf.programs.program import Program
from primer_tf.search.breeder import Breeder, Child


class Evolution:
    """Proposes children of tournament winners; the population is the last individuals that ended.

    The first individuals, as many as the population has, are mutations of the start.

    Args:
        start: The program that the search starts from.
        breeder: A `Breeder`.
        population: Size of the population.
        tournament: Size of a tournament.
        seed: Seed of the choices.
    """

    def __init__(
        self, start: Program, breeder: Breeder, population: int, tournament: int, seed: int
    ) -> None:
        self._random = Random(seed)
        self._breeder = breeder
        self._children: dict[str, tuple[Program, Child]] = {}
        self._dna: dict[str, pg.DNA] = {}
        space = _Space(breed=self._bred, start=start.to_json())
        self._spec = pg.dna_spec(space)
        self._algorithm = evolution.regularized_evolution(
            mutator=_Breeding(breed=self._bred),
            population_size=population,
            tournament_size=tournament,
            seed=seed,
        )
        self._algorithm.setup(self._spec)

    def propose(self) -> tuple[Program, Child]:
        """Returns `(parent, child)`."""
        dna = self._algorithm.propose()
        self._dna[dna.value] = dna
        return self._children.pop(dna.value)

    def feedback(self, program: str, loss: float) -> None:
        """Tells the loss of a program, which then belongs to the population.

        Args:
            program: The program as JSON text.
            loss: Its validation loss.
        """
        dna = self._dna.pop(program, None)
        if dna is None:  # The start, or an individual of a run that is resumed.
            dna = pg.DNA(program, spec=self._spec)
            dna.set_metadata("initial_population", False)  # PyGlove did not propose it.
        self._algorithm.feedback(dna, -loss)

    def _bred(self, parent: str) -> str:
        program = Program.from_json(parent)
        child = self._breeder.child(program, self._random)
        text = child.program.to_json()
        self._children[text] = program, child
        return text


@pg.members([("breed", pg.typing.Any()), ("start", pg.typing.Str())])
class _Space(pg.hyper.CustomHyper):
    """All programs, as JSON texts."""

    def custom_decode(self, dna):
        return Program.from_json(dna.value)

    def random_dna(self, random_generator=None, previous_dna=None):
        return pg.DNA(self.breed(self.start))


@pg.members([("breed", pg.typing.Any())])
class _Breeding(evolution.Mutator):
    """A mutation as PyGlove wants it."""

    def mutate(self, dna):
        return pg.DNA(self.breed(dna.value), spec=dna.spec)
