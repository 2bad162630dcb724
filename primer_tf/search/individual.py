"""One individual of a search: what is to be trained, and what came of it."""

import dataclasses

STATUSES = ("trained", "stopped", "equal", "failed", "rejected")


@dataclasses.dataclass(frozen=True)
class Task:
    """A program that is to be trained.

    Attributes:
        number: Number of the individual.
        program: The program as JSON text.
        thresholds: The loss to stay below at each hurdle, or `None` to pass.
    """

    number: int
    program: str
    thresholds: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a training.

    Attributes:
        status: `"trained"`, `"stopped"` at a hurdle, or `"failed"`.
        loss: Last validation loss in nats, or `None` if it failed.
        losses: Validation losses at the hurdles and the end, as far as it came.
        reason: Why it failed, or `None`.
        steps: Training steps.
        spent: Compute, in trainings of the start program.
        seconds: Wall time, compilation included.
        parameters: Number of weights.
    """

    status: str
    loss: float | None = None
    losses: tuple[float, ...] = ()
    reason: str | None = None
    steps: int = 0
    spent: float = 0.0
    seconds: float = 0.0
    parameters: int = 0


@dataclasses.dataclass(frozen=True)
class Individual:
    """A row of the record.

    Attributes:
        number: Number in the search, in the order of proposals.
        algorithm: `"evolution"` or `"random"`.
        parent: Number of the parent, or `None` for the start and for rejected mutations of it.
        edit: What was done to the parent, in words.
        program: The program as JSON text, or `None` if it was rejected before it was one.
        fingerprint: What equal programs share, or `None`.
        outcome: The `Outcome`; its status may also be `"equal"` to another individual or
            `"rejected"` with a reason.
    """

    number: int
    algorithm: str
    parent: int | None
    edit: str
    program: str | None
    fingerprint: str | None
    outcome: Outcome
