"""What a run has measured, as a table."""

import csv
import io
from pathlib import Path
from typing import Any

import keras

from primer_tf.errors import UserError
from primer_tf.files import atomic_write
from primer_tf.types import StrPath

COLUMNS = (
    "step",
    "loss",
    "validation_loss",
    "perplexity",
    "accuracy",
    "bits_per_byte",
    "tokens_per_second",
)


class CSVHistory(keras.callbacks.Callback):
    """Writes a row for each epoch; a resumed run goes on with the same file.

    Unlike `keras.callbacks.CSVLogger` it replaces the file in one piece, and drops the rows that a
    resumed run will write again. It needs `CountSteps` and `Validation` before it in the list of
    callbacks.

    Args:
        path: The file to write.
        step: The number of steps done before; later rows of an existing file are dropped. Defaults
            to 0.

    Attributes:
        rows: A list of dicts from column to number.

    Raises:
        UserError: The existing file is damaged.
    """

    def __init__(self, path: StrPath, step: int = 0) -> None:
        super().__init__()
        self.path = Path(path)
        rows = read_history(self.path) if self.path.exists() else []
        self.rows = [row for row in rows if row["step"] <= step]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Adds a row, in place of those that a restart repeats, and replaces the file."""
        self.rows = [row for row in self.rows if row["step"] < logs["step"]]
        self.rows.append({name: logs[name] for name in COLUMNS})
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=COLUMNS)
        writer.writeheader()
        writer.writerows(self.rows)
        atomic_write(self.path, text.getvalue())


def read_history(path: StrPath) -> list[dict[str, Any]]:
    """Returns the rows of a file that `CSVHistory` wrote, each a dict from column to number.

    Args:
        path: The file.

    Raises:
        UserError: The file is damaged.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [{name: float(row[name]) for name in COLUMNS} for row in csv.DictReader(file)]
        return [{**row, "step": int(row["step"])} for row in rows]
    # Not UTF-8, not CSV, a missing column, a row cut short, not a number, no finite step.
    except (ValueError, csv.Error, KeyError, TypeError, OverflowError) as error:
        raise UserError(f"{path} is damaged; delete it to go on without its rows.") from error
