"""Converts a Keras preset to a Mesh TensorFlow checkpoint."""

from collections.abc import Callable
from pathlib import Path

from primer_tf.convert.mesh_checkpoint import SLOTS, CheckpointWriter
from primer_tf.convert.streaming import stream_weights
from primer_tf.convert.variable_names import mesh_names
from primer_tf.errors import UserError
from primer_tf.files import atomic_write
from primer_tf.gin_config import gin_writer
from primer_tf.gin_config.model_arguments import SENTINELS
from primer_tf.models import PrimerBackbone, PrimerTokenizer
from primer_tf.models.preset_files import check_preset
from primer_tf.models.training_state import slots_of
from primer_tf.models.without_values import without_values
from primer_tf.optimizers.t5_adafactor import T5Adafactor
from primer_tf.types import StrPath


def keras_to_mesh(
    preset_dir: StrPath, model_dir: StrPath, report: Callable[[str], object] = print
) -> Path:
    """Converts a preset to a checkpoint that the T5 codebase can train further, decode and export.

    The function also writes the model's gin file, `model.gin`, and its vocabulary,
    `vocabulary.model`, to the folder of the checkpoint.

    Args:
        preset_dir: A preset directory. If it holds the step and the optimizer's state, these are
            converted, too.
        model_dir: Folder of the checkpoint, T5's `--model_dir`. It must not hold a checkpoint.
        report: A function that is called with each line of the report: the conversion, the flags
            to use the checkpoint, and a warning if T5 cannot use it with this vocabulary.

    Returns:
        The checkpoint's path.

    Raises:
        UserError: If the preset is incomplete, Mesh TensorFlow has no counterpart of an activation
            or loss, or `model_dir` holds a checkpoint.
    """
    folder = Path(model_dir)
    if (folder / "checkpoint").exists():
        raise UserError(f"{folder} holds checkpoints already; choose another folder.")
    tokenizer = _tokenizer(preset_dir)
    backbone = without_values(
        lambda: PrimerBackbone.from_preset(str(preset_dir), load_weights=False)
    )
    names = mesh_names(backbone)
    parameters = f"# {backbone.count_params():,} parameters.\n"
    gin_text = parameters + gin_writer.write(backbone.get_config())
    step, slots = slots_of(preset_dir, backbone.weights, T5Adafactor())
    with CheckpointWriter(folder, step) as checkpoint:
        for (path, kind), slot in slots.items():
            checkpoint.add(names[path] + SLOTS[kind], slot)
        stream_weights(backbone, preset_dir, lambda p, value: checkpoint.add(names[p], value))
        atomic_write(folder / "vocabulary.model", tokenizer.proto)
        atomic_write(folder / "model.gin", gin_text)
    checkpoint_path = folder / f"model.ckpt-{step}"
    pieces, rows = tokenizer.vocabulary_size(), backbone.vocabulary_size
    if pieces + SENTINELS > rows:
        report(
            f"Warning: T5 adds {SENTINELS} sentinels to the {pieces} pieces of the vocabulary, "
            f"more than the {rows} rows of the embedding; it will refuse this checkpoint."
        )
    report(
        f"Converted {preset_dir} (step {step}, {backbone.count_params():,} parameters) to "
        f"{checkpoint_path}."
    )
    report(
        f"T5's flags for it: --model_dir={folder} --gin_file={folder}/model.gin "
        f"--gin_param=\"VOCABULARY='{folder}/vocabulary.model'\""
    )
    return checkpoint_path


def _tokenizer(preset_dir: StrPath) -> PrimerTokenizer:
    check_preset(str(preset_dir))
    if not (Path(preset_dir) / "tokenizer.json").exists():
        raise UserError(
            f"{preset_dir} has no vocabulary; name the preset directory of a trained model."
        )
    return PrimerTokenizer.from_preset(str(preset_dir))
