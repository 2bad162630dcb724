"""What lies in a preset's directory, and how it gets there."""

import json
import os
import tempfile
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
from primer_tf.models.training_state import FILE as TRAINING_STATE

VOCABULARY = "assets/tokenizer/vocabulary.spm"
# What must not outlive the weights it belongs to. Keras reads the one file in preference to shards,
# whichever is newer.
OF_WEIGHTS = (
    TRAINING_STATE,
    "model.weights.h5",
    "model.weights.json",
    "model_[0-9][0-9][0-9][0-9][0-9].weights.h5",
)
OF_STRINGS = (
    TASK_CONFIG_FILE,
    TASK_WEIGHTS_FILE,
    PREPROCESSOR_CONFIG_FILE,
    TOKENIZER_CONFIG_FILE,
    VOCABULARY,
)


def check_preset(preset):
    """Raises `UserError` unless `preset` is a name of the zoo, a preset directory or a hub handle.

    Args:
        preset: What a `from_preset` was given.
    """
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


def _is_directory(preset):
    if preset in preset_names() or "://" in str(preset):
        return False
    if not os.path.isdir(preset):
        raise UserError(
            f"Unknown preset {str(preset)!r}: neither a directory nor one of "
            f"{', '.join(preset_names())}."
        )
    return True


def has_tokenizer(preset):
    """Returns whether a preset holds a tokenizer; a name of the zoo does not.

    Args:
        preset: What a `from_preset` was given.

    Raises:
        UserError: The preset is unknown.
    """
    if _is_directory(preset) or preset not in preset_names():
        return check_file_exists(str(preset), TOKENIZER_CONFIG_FILE)
    return False


def replace_preset(directory, save, obsolete):
    """Saves a preset, perhaps over an older one, so that the two do not mix.

    What is in the directory stays untouched until everything is written.

    Args:
        directory: The directory; need not exist. Files that are no part of a preset stay.
        save: Called with the temporary directory to write to.
        obsolete: Patterns of the files that go even where no new one takes their place.
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


def _remove_other_task(directory):
    """Removes a description of a task around another backbone than the one that lies here."""
    task = directory / TASK_CONFIG_FILE
    if task.exists():
        backbone = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))
        described = json.loads(task.read_text(encoding="utf-8"))["config"]["backbone"]
        if described["config"] != backbone["config"]:
            task.unlink()


def check_tokenizer(preset):
    """Raises `UserError` unless a preset holds a tokenizer; see `has_tokenizer`."""
    if not has_tokenizer(preset):
        raise UserError(
            f"Preset {str(preset)!r} has no tokenizer; make one from a vocabulary, "
            "PrimerTokenizer('vocabulary.model')."
        )
