"""Loads a trained preset for a subcommand."""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from primer_tf.cli.terminal import status
from primer_tf.errors import UserError, preset_errors
from primer_tf.gin_config.trained_presets import preset_path
from primer_tf.training.record import preset_of_run

if TYPE_CHECKING:
    from keras_hub.models import CausalLM

    from primer_tf.models import PrimerCausalLM

HELP = "preset directory, or the folder of a run, which stands for its best preset"


def resolve(preset: str) -> str:
    """Returns a preset, or the best one of a run's folder, and says so on the standard error.

    Args:
        preset: A preset, or the folder of a run.

    Raises:
        UserError: The run has no preset yet.
    """
    if (path := preset_path(preset)) != preset:
        return path
    found = preset_of_run(preset)
    if found != preset:
        print(f"primer: {preset} is a run; loading {found}", file=sys.stderr)
    return found


def load(preset: str, sampler: Any = "greedy", **arguments: Any) -> "PrimerCausalLM":
    """Returns the trained model of a preset directory, compiled with a sampler.

    Args:
        preset: The preset directory, or the folder of a run; see `resolve`.
        sampler: A KerasHub sampler, or its name. Defaults to `"greedy"`.
        **arguments: Arguments of `PrimerCausalLM.from_preset`.

    Raises:
        UserError: The preset cannot be loaded, or has no trained weights.
    """
    preset = resolve(preset)
    with status(f"Loading {preset}"):
        from primer_tf.models import PrimerCausalLM

        with preset_errors(preset):
            model = PrimerCausalLM.from_preset(preset, **arguments)
        if model.preprocessor is None:
            raise UserError(f"Preset {preset!r} has no trained weights; train it first.")
        model.compile(sampler=sampler)
    return model


def load_causal_lm(preset: str) -> "CausalLM":
    """Returns the trained model of a preset, ours or any of KerasHub's causal language models.

    Args:
        preset: The preset, or the folder of a run; see `resolve`.

    Raises:
        UserError: The preset cannot be loaded, or has no trained weights.
    """
    preset = resolve(preset)
    if not _is_of_keras_hub(preset):
        return load(preset)
    with status(f"Loading {preset}"), preset_errors(preset):
        from keras_hub.models import CausalLM

        return CausalLM.from_preset(preset)


def is_checkpoint(folder: str) -> bool:
    """Returns whether a folder holds checkpoints of the T5 codebase and no preset."""
    path = Path(folder)
    if "://" in folder or not path.is_dir():
        return False
    return (path / "checkpoint").is_file() or any(path.glob("model.ckpt-*.index"))


def load_checkpoint(
    model_dir: str,
    gin_files: Sequence[str] = (),
    bindings: Sequence[str] = (),
    vocabulary: str | None = None,
    location_prefixes: Sequence[str] = (),
) -> "PrimerCausalLM":
    """Returns the model of a checkpoint of the T5 codebase, converted on the fly.

    Args:
        model_dir: Folder of the checkpoints.
        gin_files: Gin files that describe the model. Defaults to the folder's own.
        bindings: Additional bindings. Defaults to none.
        vocabulary: SentencePiece model. Defaults to the one that the gin files name.
        location_prefixes: Folders to search for the gin files. Defaults to none.

    Raises:
        UserError: The checkpoint cannot be converted.
    """

    def report(line: str) -> None:
        print(line, file=sys.stderr)

    with tempfile.TemporaryDirectory() as folder:
        preset = str(Path(folder) / "preset")
        with status(f"Converting {model_dir}"):
            from primer_tf.convert.mesh_to_keras import mesh_to_keras

            mesh_to_keras(
                model_dir,
                preset,
                gin_files,
                bindings,
                vocabulary,
                report=report,
                location_prefixes=location_prefixes,
            )
        return load(preset)


def _is_of_keras_hub(preset: str) -> bool:
    from keras_hub.models import CausalLM

    from primer_tf._compat import CONFIG_FILE, load_json

    if "://" in preset or os.path.exists(os.path.join(preset, CONFIG_FILE)):
        with preset_errors(preset):
            return load_json(preset, CONFIG_FILE)["registered_name"] != "primer_tf>PrimerBackbone"
    return preset in CausalLM.presets
