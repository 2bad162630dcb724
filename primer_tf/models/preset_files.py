"""The files in a preset's directory."""

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from primer_tf._compat import (
    CONFIG_FILE,
    PREPROCESSOR_CONFIG_FILE,
    TASK_CONFIG_FILE,
    TASK_WEIGHTS_FILE,
    TOKENIZER_CONFIG_FILE,
    check_file_exists,
)
from primer_tf.errors import UserError
from primer_tf.files import PARTIAL
from primer_tf.gin_config.presets import preset_names
from primer_tf.gin_config.trained_presets import preset_path, trained_presets
from primer_tf.models.training_state import FILE as TRAINING_STATE
from primer_tf.types import StrPath

VOCABULARY = "assets/tokenizer/vocabulary.spm"
# Files that must go when the weights go. Where there are both, Keras reads the single file and not
# the shards, whichever is newer.
OF_WEIGHTS = (
    TRAINING_STATE,
    "model.weights.h5",
    "model.weights.json",
    "model_[0-9][0-9][0-9][0-9][0-9].weights.h5",
)
# Files that only a preset with a tokenizer has.
OF_STRINGS = (
    TASK_CONFIG_FILE,
    TASK_WEIGHTS_FILE,
    PREPROCESSOR_CONFIG_FILE,
    TOKENIZER_CONFIG_FILE,
    VOCABULARY,
)


def check_preset(preset: StrPath) -> None:
    """Checks that a preset exists and is complete. Hub handles are not checked.

    Args:
        preset: Name in the model zoo, directory or hub handle, as `from_preset` takes it.

    Raises:
        UserError: The preset is unknown or incomplete.
    """
    preset = preset_path(preset)
    if not _is_directory(preset):
        return
    present = set(os.listdir(preset))
    required = [CONFIG_FILE, "model.weights.h5"]
    if PREPROCESSOR_CONFIG_FILE in present:
        required += [TOKENIZER_CONFIG_FILE, VOCABULARY]
    for name in required:
        sharded = name == "model.weights.h5" and "model.weights.json" in present
        if not sharded and not os.path.exists(os.path.join(preset, name)):
            raise UserError(f"Preset {str(preset)!r} is incomplete: it has no {name}.")


def _is_directory(preset: StrPath) -> bool:
    if preset in preset_names() or "://" in str(preset):
        return False
    if not os.path.isdir(preset):
        raise UserError(
            f"Unknown preset {str(preset)!r}: neither a directory nor one of "
            f"{', '.join((*preset_names(), *trained_presets()))}."
        )
    return True


def has_tokenizer(preset: StrPath) -> bool:
    """Returns whether a preset has a tokenizer. Those of the model zoo have none.

    Args:
        preset: Name in the model zoo, directory or hub handle, as `from_preset` takes it.

    Raises:
        UserError: The preset is unknown.
    """
    preset = preset_path(preset)
    if _is_directory(preset) or preset not in preset_names():
        return check_file_exists(str(preset), TOKENIZER_CONFIG_FILE)
    return False


def replace_preset(
    directory: StrPath, save: Callable[[str], None], obsolete: Iterable[str]
) -> None:
    """Saves a preset so that it does not mix with an older one in the same directory.

    The older preset stays untouched until the new one is completely written.

    Args:
        directory: The directory, which is created if it does not exist. Files that belong to no
            preset stay.
        save: Function that writes the preset into the temporary directory that it is called with.
        obsolete: Patterns of older files that are removed even if no new file replaces them.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=directory) as temporary:
        save(temporary)
        files = [path for path in Path(temporary).rglob("*") if path.is_file()]
        for pattern in obsolete:
            for path in directory.glob(pattern):
                path.unlink()
        for file in files:
            target = directory / file.relative_to(temporary)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
    _remove_other_task(directory)


def _remove_other_task(directory: Path) -> None:
    """Removes the task's configuration if it describes another backbone than the directory has."""
    task = directory / TASK_CONFIG_FILE
    if task.exists():
        backbone = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))
        described = json.loads(task.read_text(encoding="utf-8"))["config"]["backbone"]
        if described["config"] != backbone["config"]:
            task.unlink()


def check_tokenizer(preset: StrPath) -> None:
    """Raises `UserError` unless a preset has a tokenizer; see `has_tokenizer`."""
    if not has_tokenizer(preset):
        raise UserError(
            f"Preset {str(preset)!r} has no tokenizer; make one from a vocabulary, "
            "PrimerTokenizer('vocabulary.model')."
        )
