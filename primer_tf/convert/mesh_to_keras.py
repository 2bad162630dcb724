"""Converts a Mesh TensorFlow checkpoint to a Keras preset."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from primer_tf.convert.mesh_checkpoint import SLOTS, MeshCheckpoint
from primer_tf.convert.streaming import read_from
from primer_tf.convert.variable_names import mesh_names
from primer_tf.data.vocabulary import read_vocabulary
from primer_tf.errors import UserError
from primer_tf.files import atomic_directory
from primer_tf.gin_config import configurables as known
from primer_tf.gin_config import gin_reader
from primer_tf.gin_config.model_arguments import backbone_arguments
from primer_tf.gin_config.resolved_bindings import ResolvedBindings
from primer_tf.gin_config.unused_macros import check_macros
from primer_tf.models import (
    PrimerBackbone,
    PrimerCausalLM,
    PrimerCausalLMPreprocessor,
    PrimerTokenizer,
)
from primer_tf.models.training_state import write_training_state
from primer_tf.models.without_values import without_values
from primer_tf.types import Config, StrPath

# The gin files that T5 and `keras_to_mesh` write to the folder of a checkpoint.
OPERATIVE_CONFIG = "operative_config.gin"
GIN_FILES = (OPERATIVE_CONFIG, "model.gin")

Report = Callable[[str], object]

# Arguments that may differ from the run that wrote a checkpoint without changing its model.
FREE = {
    "dropout",
    "gradient_checkpointing",
    "initializer_scale",
    "max_sequence_length",
    "vocabulary_size",
}


def mesh_to_keras(
    model_dir: StrPath,
    preset_dir: StrPath,
    gin_files: Sequence[StrPath] = (),
    bindings: Sequence[str] = (),
    vocabulary: StrPath | None = None,
    step: int | None = None,
    report: Report = print,
    location_prefixes: Iterable[StrPath] = (),
) -> None:
    """Converts a checkpoint of the T5 codebase to a preset, with the optimizer's state.

    The values are copied unchanged, and memory holds one variable at a time.

    Args:
        model_dir: Folder of the checkpoints, T5's `--model_dir`.
        preset_dir: Folder of the preset to write.
        gin_files: Gin files that describe the model, by default the `operative_config.gin` or
            `model.gin` in `model_dir`.
        bindings: List of additional bindings.
        vocabulary: Path of the SentencePiece model, by default the one that the gin files name.
        step: Step of the checkpoint, by default the newest.
        report: A function that is called with each line of the report: the conversion, bindings
            without effect, and differences from the run that wrote the checkpoint.
        location_prefixes: Folders to search for `gin_files`, as for T5's `--gin_location_prefix`.

    Raises:
        UserError: If there is no checkpoint or vocabulary, or if the checkpoint is damaged, partial
            or of another model than the gin files describe. In the last two cases the message
            names the first variable that does not fit.
    """
    checkpoint = MeshCheckpoint(model_dir, step)
    resolved = _gin(model_dir, gin_files, bindings, location_prefixes, report)
    arguments = backbone_arguments(resolved)
    arguments["vocabulary_size"] = _rows(checkpoint)
    tokenizer = PrimerTokenizer(read_vocabulary(vocabulary or _vocabulary(resolved, model_dir)))
    if tokenizer.vocabulary_size() > arguments["vocabulary_size"]:
        raise UserError(
            f"The vocabulary has {tokenizer.vocabulary_size()} pieces, more than the "
            f"{arguments['vocabulary_size']} rows of the embedding in {checkpoint.path}; name the "
            "vocabulary the model was trained with."
        )
    backbone = without_values(lambda: PrimerBackbone(**arguments))
    names = mesh_names(backbone)
    _check(checkpoint, {names[v.path]: tuple(v.shape) for v in backbone.weights})
    if gin_files or bindings:
        _compare(arguments, Path(model_dir) / OPERATIVE_CONFIG, report)
    read_from(backbone.weights, lambda path: checkpoint.read(names[path]))
    preprocessor = PrimerCausalLMPreprocessor(tokenizer, arguments["max_sequence_length"])
    model = without_values(lambda: PrimerCausalLM(backbone, preprocessor, compile=False))
    slots = _slots(checkpoint, names)
    with atomic_directory(preset_dir) as folder:
        model.save_to_preset(str(folder))
        if slots:
            write_training_state(folder, checkpoint.step, slots)
    report(
        f"Converted {checkpoint.path} (step {checkpoint.step}, {model.count_params():,} "
        f"parameters) to {preset_dir}" + ("." if slots else ", without an optimizer's state.")
    )


def _gin(
    model_dir: StrPath,
    gin_files: Sequence[StrPath],
    bindings: Sequence[str],
    location_prefixes: Iterable[StrPath],
    report: Report,
) -> ResolvedBindings:
    present = [path for name in GIN_FILES if (path := Path(model_dir) / name).exists()]
    files = gin_files or present[:1]
    if not files:
        raise UserError(
            f"Nothing in {model_dir} describes the model: it has no {' or '.join(GIN_FILES)}; name "
            "the model's gin file with --gin_file."
        )
    # gin itself writes an operative configuration, so every name in it exists.
    strict = bool(gin_files) or Path(files[0]).name != OPERATIVE_CONFIG
    if not strict:
        ResolvedBindings(gin_reader.read([], bindings), note=lambda line: None)
    read = gin_reader.read(files, bindings, location_prefixes)
    check_macros(read)
    return ResolvedBindings(read, strict, note=report)


def _compare(arguments: Config, operative_config: Path, report: Report) -> None:
    """Reports differences between the gin files and the run that wrote the checkpoint.

    The checkpoint's variables reveal most differences, but not in activations or in the placement
    of the normalization.
    """
    if not operative_config.exists():
        return
    try:
        read = gin_reader.read([operative_config])
        ran = backbone_arguments(ResolvedBindings(read, strict=False, note=lambda line: None))
    except UserError as error:
        report(f"Warning: the gin files may not describe the model that was trained: {error}")
        return
    different = [
        f"{name} is {arguments[name]!r}, not {value!r}"
        for name, value in ran.items()
        if name not in FREE and arguments.get(name) != value
    ]
    if different:
        report(
            f"Warning: not the model that was trained, by {operative_config}: "
            f"{'; '.join(different)}. Leave --gin_file out to convert the model that was."
        )


def _vocabulary(resolved: ResolvedBindings, model_dir: StrPath) -> Path:
    if resolved.is_bound(known.SENTENCEPIECE_MODEL, "path"):
        path = resolved.value(known.SENTENCEPIECE_MODEL, "path")
    else:
        path = resolved.macro("VOCABULARY")
    candidates = [Path(path), Path(model_dir) / path] if path else []
    candidates.append(Path(model_dir) / "vocabulary.model")
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise UserError(
        f"There is no vocabulary at {path or candidates[-1]}; name the SentencePiece model with "
        "--vocabulary."
    )


def _rows(checkpoint: MeshCheckpoint) -> int:
    if "transformer/embedding" not in checkpoint.shapes:
        raise UserError(
            f"{checkpoint.path} is not of a language model: it has no transformer/embedding."
        )
    return checkpoint.shapes["transformer/embedding"][0]


def _check(checkpoint: MeshCheckpoint, wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Checks that a checkpoint holds the variables of the model and no others."""
    for name, shape in wanted.items():
        if name not in checkpoint.shapes:
            raise UserError(
                f"{checkpoint.path} is partial or of another model: {name} of shape {shape} is "
                "not in it."
            )
        if checkpoint.shapes[name] != shape:
            raise UserError(
                f"{checkpoint.path} is of another model: {name} should have shape {shape} but has "
                f"{checkpoint.shapes[name]}."
            )
    for name, shape in sorted(checkpoint.shapes.items()):
        if name not in wanted:
            raise UserError(
                f"{checkpoint.path} is of another model: it has {name} of shape {shape}, which the "
                "gin files do not describe."
            )


def _slots(
    checkpoint: MeshCheckpoint, names: Mapping[str, str]
) -> dict[tuple[str, str], np.ndarray]:
    return {
        (path, kind): np.asarray(checkpoint.read(name + ending))
        for path, name in names.items()
        for kind, ending in SLOTS.items()
        if name + ending in checkpoint.slot_shapes
    }
