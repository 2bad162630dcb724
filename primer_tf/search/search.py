"""The search itself: propose, train, record, resumable at any moment."""

import dataclasses
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Protocol

from primer_tf.errors import UserError
from primer_tf.files import atomic_write, sole_writer
from primer_tf.programs.graph import infer_graph
from primer_tf.programs.program import Program
from primer_tf.search.breeder import Breeder, Child
from primer_tf.search.config import FILE, SearchConfig, read_config
from primer_tf.search.fingerprint import fingerprint
from primer_tf.search.hurdles import thresholds
from primer_tf.search.individual import Individual, Outcome, Task
from primer_tf.search.random_search import RandomSearch
from primer_tf.search.record import SearchRecord
from primer_tf.search.tokens import Tokens, prepare_tokens
from primer_tf.search.work import affordable_steps
from primer_tf.types import StrPath

# Programs that compute the same are one if their budgets buy about as many steps.
SAME_STEPS = 0.05
# After so many equal programs in a row there is nothing new to find.
MOST_EQUAL = 1000


class Engine(Protocol):
    """What trains individuals."""

    num_workers: int

    @property
    def num_pending(self) -> int:
        """Number of individuals that were submitted and have not ended."""

    def submit(self, task: Task) -> None:
        """Takes an individual that is to be trained."""

    def next(self) -> tuple[Task, Outcome]:
        """Waits for an individual to end, and returns it with its outcome."""

    def close(self) -> None:
        """Ends the workers."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a search stands.

    Attributes:
        spent: Compute so far, in trainings of the start program.
        budget: Compute in all.
        counts: Number of individuals by status.
        best: The best individual that was fully trained, or `None`.
    """

    spent: float
    budget: float
    counts: dict[str, int]
    best: Individual | None


def run_search(
    directory: StrPath,
    budget: float,
    config: SearchConfig | None = None,
    algorithm: str = "evolution",
    make_engine: Callable[[SearchConfig, Tokens], Engine] | None = None,
    report: Callable[[Progress], object] = lambda progress: None,
) -> Progress:
    """Searches until a budget is spent.

    Args:
        directory: Folder of the search. What ended in it before counts.
        budget: Compute, in trainings of the start program.
        config: The configuration, or `None` to continue the search in the folder.
        algorithm: `"evolution"` or `"random"`. Both may be in one folder. Defaults to
            `"evolution"`.
        make_engine: Returns the engine. Defaults to `InProcessEngine`.
        report: Called with the `Progress` after each individual. Defaults to nothing.

    Returns:
        The last `Progress`.

    Raises:
        UserError: Another process searches in the folder, it holds another search, or there is none
            to continue.
    """
    directory = Path(directory)
    if config is None:
        config = read_config(directory)
    with sole_writer(directory):
        if not (directory / FILE).exists():
            atomic_write(directory / FILE, config.to_json())
        elif read_config(directory) != config:
            raise UserError(f"{directory} holds another search; choose another folder.")
        tokens = prepare_tokens(config, directory)
        if make_engine is None:
            from primer_tf.search.in_process_engine import InProcessEngine

            make_engine = InProcessEngine
        with (
            closing(SearchRecord(directory)) as record,
            closing(make_engine(config, tokens)) as engine,
        ):
            return _Search(config, record, algorithm, engine, budget).run(report)


class _Search:
    def __init__(
        self,
        config: SearchConfig,
        record: SearchRecord,
        algorithm: str,
        engine: Engine,
        budget: float,
    ) -> None:
        self.config, self.record, self.engine, self.budget = config, record, engine, budget
        self.name = algorithm
        self.numbers: dict[str, int] = {}  # By program.
        self.seen: dict[str, list[tuple[int, Outcome]]] = {}  # Steps and outcome by fingerprint.
        self.losses: list[tuple[float, ...]] = []
        self.spent = 0.0
        self.pending: dict[int, tuple[int | None, Child]] = {}
        self.rejected: list[Individual] = []  # Since the last individual that ended.
        earlier = record.individuals(algorithm)
        # Rejected mutations have numbers, too.
        self.next_number = 1 + max((each.number for each in earlier), default=-1)
        breeder = Breeder(config.hidden_dim, config.operation_names(), self._reject)
        # A resumed search draws other numbers than those it has drawn.
        seed = config.seed + 1000 * self.next_number
        if algorithm == "evolution":
            from primer_tf.search.evolution import Evolution

            self.algorithm: Evolution | RandomSearch = Evolution(
                config.start(), breeder, config.population, config.tournament, seed
            )
        else:
            self.algorithm = RandomSearch(config.start(), breeder, seed)
        for individual in earlier:
            self._count(individual)

    def run(self, report: Callable[[Progress], object]) -> Progress:
        equal_in_a_row = 0
        if not self.numbers:
            start = self.config.start()
            self._submit(None, Child(start, "the start", fingerprint(start)))
            self._collect()
            report(self._progress())
        while True:
            # What is in training is taken for whole trainings only at the end of the budget.
            room = self.engine.num_workers - self.engine.num_pending
            if self.spent < self.budget and room > 0 and equal_in_a_row < MOST_EQUAL:
                parent, child = self.algorithm.propose()
                number = self.numbers.get(parent.to_json())
                known = self._known(child)
                if known is None:
                    equal_in_a_row = 0
                    self._submit(number, child)
                    continue
                equal_in_a_row += 1
                self._finish(number, child, dataclasses.replace(known, status="equal", spent=0.0))
            elif self.engine.num_pending:
                self._collect()
            else:
                return self._progress()
            report(self._progress())

    def _submit(self, parent: int | None, child: Child) -> None:
        text = child.program.to_json()
        number = self.next_number
        self.next_number += 1
        self.pending[number] = parent, child
        limits = thresholds(self.losses, self.config.hurdles)
        self.engine.submit(Task(number, text, tuple(limits)))

    def _collect(self) -> None:
        task, outcome = self.engine.next()
        parent, child = self.pending.pop(task.number)
        self._finish(parent, child, outcome, task.number)

    def _finish(
        self, parent: int | None, child: Child, outcome: Outcome, number: int | None = None
    ) -> None:
        if number is None:
            number = self.next_number
            self.next_number += 1
        individual = Individual(
            number,
            self.name,
            parent,
            child.edit,
            child.program.to_json(),
            child.fingerprint,
            outcome,
        )
        self.record.add(*self.rejected, individual)
        self.rejected.clear()
        self._count(individual)

    def _reject(self, edit: str, reason: str) -> None:
        number = self.next_number
        self.next_number += 1
        outcome = Outcome("rejected", reason=reason)
        # Most mutations are, and a transaction for each would take longer than the search itself.
        self.rejected.append(Individual(number, self.name, None, edit, None, None, outcome))

    def _known(self, child: Child) -> Outcome | None:
        """Returns the outcome of a program that computes the same for about the same cost."""
        steps = self._steps(child.program)
        for earlier, outcome in self.seen.get(child.fingerprint, ()):
            if abs(steps - earlier) <= SAME_STEPS * earlier:
                return outcome
        return None

    def _steps(self, program: Program) -> int:
        return affordable_steps(self.config, infer_graph(program, self.config.hidden_dim))

    def _count(self, individual: Individual) -> None:
        """Takes an individual that has ended into account."""
        outcome = individual.outcome
        if outcome.status == "rejected" or individual.program is None:
            return
        self.numbers[individual.program] = individual.number
        self.spent += outcome.spent
        if outcome.status != "equal":
            steps = self._steps(Program.from_json(individual.program))
            self.seen.setdefault(str(individual.fingerprint), []).append((steps, outcome))
            if outcome.losses:
                self.losses.append(outcome.losses)
        if outcome.loss is not None:
            self.algorithm.feedback(individual.program, outcome.loss)

    def _progress(self) -> Progress:
        best = self.record.best(1, self.name)
        return Progress(
            self.spent, self.budget, self.record.counts(self.name), best[0] if best else None
        )
