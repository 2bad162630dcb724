"""What `primer search retrain` found: the losses of each program, beside those of the start."""

import dataclasses
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from scipy import stats

from primer_tf.errors import UserError, first_line
from primer_tf.types import StrPath

FILE = "retrained.json"
START = "the start"
CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Retrained:
    """The trainings of a program with several seeds.

    Attributes:
        name: Name of the program.
        losses: Validation losses in nats, one for each seed.
        steps: Training steps.
        parameters: Number of weights.
        gain: Mean loss of the start less that of the program.
        interval: Bounds of the gain with 95% confidence, by Welch's t test, or `None` for the start
            itself and where there is a single seed.
    """

    name: str
    losses: tuple[float, ...]
    steps: int
    parameters: int
    gain: float
    interval: tuple[float, float] | None

    @property
    def mean(self) -> float:
        """The mean loss."""
        return sum(self.losses) / len(self.losses)


def read_retrained(directory: StrPath) -> list[dict[str, Any]]:
    """Returns the rows of `retrained.json` in the folder of a search, none if it does not exist.

    Raises:
        UserError: The file is damaged.
    """
    path = Path(directory) / FILE
    if not path.exists():
        return []
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged: {first_line(error)}; remove it.") from error


def retrained(rows: list[dict[str, Any]]) -> list[Retrained]:
    """Returns a `Retrained` for each program, the best first.

    Args:
        rows: Rows of `retrained.json`. Those of the most steps count.
    """
    most = max((row["steps"] for row in rows), default=0)
    by_name = defaultdict(list)
    for row in rows:
        if row["steps"] == most and row["loss"] is not None:
            by_name[row["name"]].append(row)
    start = [row["loss"] for row in by_name.get(START, ())]
    found = [_retrained(name, those, start) for name, those in by_name.items()] if start else []
    return sorted(found, key=lambda each: each.mean)


def _retrained(name: str, rows: list[dict[str, Any]], start: list[float]) -> Retrained:
    losses = [row["loss"] for row in rows]
    interval = None
    if name != START and min(len(losses), len(start)) > 1:
        test = stats.ttest_ind(start, losses, equal_var=False)
        low, high = test.confidence_interval(CONFIDENCE)
        interval = float(low), float(high)
    gain = sum(start) / len(start) - sum(losses) / len(losses)
    return Retrained(
        name, tuple(losses), rows[0]["own_steps"], rows[0]["parameters"], gain, interval
    )
