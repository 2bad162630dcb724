"""The record of a search: every individual in SQLite, written as soon as it ends."""

import dataclasses
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from primer_tf.errors import UserError
from primer_tf.search.individual import Individual, Outcome
from primer_tf.types import StrPath

FILE = "individuals.sqlite"

_COLUMNS = (
    "number INTEGER",
    "algorithm TEXT",
    "parent INTEGER",
    "edit TEXT",
    "program TEXT",
    "fingerprint TEXT",
    "status TEXT",
    "loss REAL",
    "losses TEXT",
    "reason TEXT",
    "steps INTEGER",
    "spent REAL",
    "seconds REAL",
    "parameters INTEGER",
)


class SearchRecord:
    """All individuals of a search in a folder.

    Each is written as soon as it ends, with the mutations that were rejected before it: who kills
    the process at any moment loses none that had ended.

    Args:
        directory: Folder of the search.

    Raises:
        UserError: The file in it is damaged.
    """

    def __init__(self, directory: StrPath) -> None:
        self.path = Path(directory) / FILE
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(self.path)
        try:
            with self._connection:
                self._connection.execute(
                    f"CREATE TABLE IF NOT EXISTS individuals ({', '.join(_COLUMNS)}, "
                    "PRIMARY KEY (algorithm, number))"
                )
        except sqlite3.DatabaseError as error:
            raise UserError(f"{self.path} is damaged: {error}; move it away.") from error

    def add(self, *individuals: Individual) -> None:
        """Writes individuals that have ended, all or none of them."""
        rows = [_row(individual) for individual in individuals]
        with self._connection:
            self._connection.executemany(
                f"INSERT INTO individuals VALUES ({', '.join('?' * len(_COLUMNS))})", rows
            )

    def individuals(self, algorithm: str) -> list[Individual]:
        """Returns the individuals of an algorithm in the order in which they ended."""
        rows = self._select("algorithm = ? ORDER BY rowid", algorithm)
        return list(rows)

    def counts(self, algorithm: str) -> dict[str, int]:
        """Returns the number of individuals by status."""
        found = self._connection.execute(
            "SELECT status, COUNT(*) FROM individuals WHERE algorithm = ? GROUP BY status",
            (algorithm,),
        )
        return dict(found.fetchall())

    def best(self, count: int | None = None, algorithm: str | None = None) -> list[Individual]:
        """Returns the fully trained individuals of the lowest losses, the best first.

        Args:
            count: Number of individuals. Defaults to all.
            algorithm: Only those of this algorithm. Defaults to both.
        """
        where = "status = 'trained'"
        values: list[Any] = []
        if algorithm is not None:
            where += " AND algorithm = ?"
            values.append(algorithm)
        return list(self._select(f"{where} ORDER BY loss", *values))[:count]

    def _select(self, where: str, *values: Any) -> Iterator[Individual]:
        names = [column.split()[0] for column in _COLUMNS]
        query = f"SELECT {', '.join(names)} FROM individuals WHERE {where}"
        of_outcome = {field.name for field in dataclasses.fields(Outcome)}
        for row in self._connection.execute(query, values).fetchall():
            fields = dict(zip(names, row, strict=True))
            fields["losses"] = tuple(json.loads(fields["losses"]))
            outcome = Outcome(**{name: fields.pop(name) for name in of_outcome})
            yield Individual(**fields, outcome=outcome)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


def _row(individual: Individual) -> tuple[Any, ...]:
    """Returns the values of the columns."""
    outcome = individual.outcome
    return (
        individual.number,
        individual.algorithm,
        individual.parent,
        individual.edit,
        individual.program,
        individual.fingerprint,
        outcome.status,
        outcome.loss,
        json.dumps(outcome.losses),
        outcome.reason,
        outcome.steps,
        outcome.spent,
        outcome.seconds,
        outcome.parameters,
    )
