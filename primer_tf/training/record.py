"""The record of a training run, `run.json`: what the run was started with.

Importing this module imports neither TensorFlow nor Keras.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from primer_tf.errors import UserError, first_line
from primer_tf.files import atomic_write
from primer_tf.training.config import RunConfig
from primer_tf.types import StrPath

FILE = "run.json"
VOCABULARY = "vocabulary.model"
# The folders of its presets: the last one, and the one with the lowest validation loss.
LAST = "preset"
BEST = "best"
# What a resumed run may change. The vocabulary then lies in the folder of the run.
MAY_CHANGE = ("steps", "max_restarts", "vocabulary")
WHAT_CHANGED = {
    "vocabulary_sha256": f"its {VOCABULARY} is not the one it was started with",
    "tokens_sha256": "the training text is not the one it was started with",
}


def check_folder(output: StrPath, resume: bool) -> None:
    """Checks that a folder holds a run if one is to be resumed, and none otherwise.

    Args:
        output: The folder of the run.
        resume: Whether to continue the run in it.

    Raises:
        UserError: There is a run and there should be none, or the other way round.
    """
    exists = (Path(output) / FILE).exists()
    if exists and not resume:
        raise UserError(f"{output} already holds a run; add --resume, or choose another folder.")
    if resume and not exists:
        raise UserError(f"There is no run to resume in {output}; start it without --resume.")


def read_record(output: StrPath) -> dict[str, Any]:
    """Returns the record of the run in a folder.

    Args:
        output: The folder of the run.

    Raises:
        UserError: The folder holds no run, or its record is damaged.
    """
    check_folder(output, resume=True)
    return _read(output)


def read_config(output: StrPath) -> RunConfig:
    """Returns the configuration that the run in a folder was started with.

    Args:
        output: The folder of the run.

    Raises:
        UserError: The folder holds no run, or its record is damaged.
    """
    record = read_record(output)
    names = {field.name for field in dataclasses.fields(RunConfig)}
    names.remove("vocabulary")  # The run has its own copy.
    try:
        return RunConfig(**{name: value for name, value in record.items() if name in names})
    except (TypeError, UserError) as error:
        raise damaged(output, first_line(error)) from error


def damaged(output: StrPath, reason: str) -> UserError:
    """Returns the error that the record of a run is damaged.

    Args:
        output: The folder of the run.
        reason: What is wrong with it, as a sentence.
    """
    return UserError(f"{Path(output) / FILE} is damaged: {reason}")


def preset_of_run(preset: StrPath) -> str:
    """Returns the best preset of a run if this is the folder of one, else the preset itself.

    Args:
        preset: The folder of a run, or a preset.

    Raises:
        UserError: The run has no preset yet.
    """
    folder = Path(preset)
    if not (folder / FILE).exists():
        return str(preset)
    for name in (BEST, LAST):
        if (folder / name).is_dir():
            return str(folder / name)
    raise UserError(f"The run in {preset} has no preset yet; its first evaluation writes one.")


def write_record(
    settings: dict[str, Any],
    defaults: dict[str, Any],
    output: StrPath,
    vocabulary: bytes,
    tokens_sha256: str,
    resume: bool,
) -> None:
    """Writes the record of a run.

    Args:
        settings: The settings of the run, by name.
        defaults: Their defaults, at which a run is whose record does not have the setting.
        output: The folder of the run.
        vocabulary: The SentencePiece model of the run.
        tokens_sha256: A digest of the training text as token ids.
        resume: Whether the folder holds a record with which the new one must agree.

    Raises:
        UserError: The run in the folder was started with something else. It may only be made
            longer, or restarted more often.
    """
    record = {
        **settings,
        "vocabulary_sha256": hashlib.sha256(vocabulary).hexdigest(),
        "tokens_sha256": tokens_sha256,
    }
    if resume:
        before = {**defaults, **_read(output)}
        for key, value in record.items():
            if key not in MAY_CHANGE and value != before.get(key):
                what = WHAT_CHANGED.get(key, f"{key} was {before.get(key)!r}, not {value!r}")
                raise UserError(f"Cannot resume {output}: {what}.")
    atomic_write(Path(output) / FILE, json.dumps(record, indent=2) + "\n")


def _read(output: StrPath) -> dict[str, Any]:
    try:
        record = json.loads((Path(output) / FILE).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(output, first_line(error)) from error
    if not isinstance(record, dict):
        raise damaged(output, "it is not a JSON object.")
    return record
