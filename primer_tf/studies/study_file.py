"""The definition of a study as a file, `study.json`."""

import json
from pathlib import Path
from typing import Any

from primer_tf.errors import UserError, first_line
from primer_tf.files import atomic_write
from primer_tf.studies.study import Study
from primer_tf.types import StrPath

FILE = "study.json"


def write_study(study: Study, output: StrPath) -> None:
    """Keeps a study in its folder.

    Args:
        study: The study.
        output: The folder. It may already hold the same study.

    Raises:
        UserError: The folder holds another study.
    """
    path = Path(output) / FILE
    if path.exists():
        before = read_study(output)
        if before != study:
            old, new = before.to_dict(), study.to_dict()
            (name, *_) = [key for key in new if old[key] != new[key]]
            raise UserError(
                f"{output} holds another study: its {name} is {_short(old[name])}, not "
                f"{_short(new[name])}; choose another folder."
            )
        return
    atomic_write(path, json.dumps(study.to_dict(), indent=2) + "\n")


def read_study(output: StrPath) -> Study:
    """Returns the study of a folder.

    Raises:
        UserError: There is none, or its definition is damaged.
    """
    path = Path(output) / FILE
    if not path.exists():
        raise UserError(f"There is no study in {output}: {FILE} is missing.")
    try:
        return Study(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {first_line(error)}") from error


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
