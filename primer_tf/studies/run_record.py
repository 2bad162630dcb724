"""The record of a finished run: a small JSON file that is meant to be kept."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from primer_tf.errors import UserError, first_line
from primer_tf.files import atomic_write
from primer_tf.studies.study import Run
from primer_tf.types import StrPath

FOLDER = "runs"
FINISHED = "finished"
DIVERGED = "diverged"
DIGEST = "sha256"


def record_path(output: StrPath, run: Run) -> Path:
    """Returns the path of a run's record in the folder of a study."""
    return Path(output) / FOLDER / f"{run.name}.json"


def write_record(path: StrPath, record: Mapping[str, Any]) -> None:
    """Writes a record with its digest.

    Args:
        path: The file.
        record: What JSON can hold. Numbers that are not finite become `null`.
    """
    content = _finite(dict(record))
    content[DIGEST] = _digest(content)
    # One list a line: a changed record is a readable difference.
    lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in content.items())
    atomic_write(path, f"{{\n{lines}\n}}\n")


def read_record(path: StrPath) -> dict[str, Any]:
    """Returns a record.

    Raises:
        UserError: It is damaged, or was changed after it was written.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        digest = record.pop(DIGEST)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged: {first_line(error)}; delete it to repeat the run."
        ) from error
    if digest != _digest(record):
        raise UserError(
            f"{path} was changed after it was written: its digest is another; restore it, or "
            "delete it to repeat the run."
        )
    return record


def read_records(output: StrPath, runs: Sequence[Run]) -> dict[Run, dict[str, Any]]:
    """Returns the records of those runs that have one.

    A record of the same name is that of another run if another learning rate was chosen since.

    Args:
        output: The folder of a study.
        runs: Runs of the study.

    Raises:
        UserError: A record is damaged, or the runs were not trained on the same text with the same
            vocabulary.
    """
    files = {run: path for run in runs if (path := record_path(output, run)).exists()}
    records = {run: read_record(path) for run, path in files.items()}
    found = {run: each for run, each in records.items() if each["run"] == asdict(run)}
    for key in ("vocabulary_sha256", "tokens_sha256"):
        digests = {record[key]: run.name for run, record in found.items() if record.get(key)}
        if len(digests) > 1:
            one, other, *_ = digests.values()
            raise UserError(
                f"{output}: the runs {one} and {other} differ in their {key.partition('_')[0]}; "
                "delete the records of one of them."
            )
    return found


def _digest(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
