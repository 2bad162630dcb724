"""Export of a model to a SavedModel that TensorFlow Serving can load."""

import re
from pathlib import Path

import keras
import tensorflow as tf

from primer_tf.errors import UserError
from primer_tf.export.decoding import Decoder
from primer_tf.export.description import write_description
from primer_tf.export.id_signatures import IdSignatures
from primer_tf.export.request_settings import Defaults
from primer_tf.export.sampler_settings import sampler_settings
from primer_tf.export.text_signatures import TextSignatures
from primer_tf.export.warmup import write_warmup
from primer_tf.files import atomic_directory, tensorflow_writes
from primer_tf.literal_paths import check_loadable
from primer_tf.models import PrimerCausalLM
from primer_tf.models.ngram_draft import NGramDraft
from primer_tf.types import StrPath


def export_saved_model(
    model: PrimerCausalLM,
    directory: StrPath,
    max_length: int | None = None,
    version: int | None = None,
    ids: bool = False,
    jit_compile: bool = False,
    draft: str | None = None,
) -> Path:
    """Writes a SavedModel to `directory/version`, the layout that TensorFlow Serving watches.

    Its signatures contain the tokenizer, the decoding loop with its cache, and sampling:
    `serving_default`, `generate`, `score` and `embed` on texts, and `prefill`, `decode`,
    `decode_step` and `score_prompt` on token ids for servers that batch continuously. Signatures on
    texts need the TF Text operations, which stock TensorFlow Serving has.

    Beside it are requests to warm up with, the vocabulary, a description of the model, and
    `MODEL_CARD.md`.

    Args:
        model: A compiled `PrimerCausalLM` with a preprocessor. Its sampler is that of
            `serving_default` and gives the defaults of `generate`.
        directory: Folder of all versions.
        max_length: Maximum number of tokens in prompt and completion together, by default the
            preprocessor's sequence length. It must be between 2 and the model's maximum.
        version: Number of the version, by default one more than the highest existing number.
        ids: Whether to write signatures on token ids only (`generate_ids`, `score_ids`,
            `embed_ids`, and those for continuous batching), which load without TF Text. Defaults to
            `False`.
        jit_compile: Whether XLA compiles the decoding loop, which about halves its time on CPUs.
            TensorFlow Serving then needs `--xla_cpu_compilation_enabled`. Defaults to `False`.
        draft: `"ngram"` to guess tokens from the text and check several in one pass, which changes
            no text but makes repetitive ones faster. Optional.

    Returns:
        The folder of the version, a `Path`.

    Raises:
        UserError: If the backend is not TensorFlow, the model has no preprocessor, `max_length` is
            out of range, the draft is another, the version exists, or TensorFlow could not load
            from the path.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError("Export needs the TensorFlow backend; set KERAS_BACKEND=tensorflow.")
    if model.preprocessor is None:
        raise UserError("Export needs a model with a preprocessor, whose tokenizer it exports.")
    max_length = max_length or model.preprocessor.sequence_length
    limit = model.backbone.max_sequence_length
    if not 2 <= max_length <= limit:
        raise UserError(f"max_length {max_length} is not between 2 and the model's {limit}.")
    if draft not in (None, "ngram"):
        raise UserError(f"Unknown draft {draft!r}; an export takes ngram only.")
    target = version_folder(directory, version)

    chosen = sampler_settings(model.sampler)
    defaults = chosen or Defaults()
    tokenizer = model.preprocessor.tokenizer
    decoder = Decoder(
        model,
        max_length,
        tokenizer.end_token_id,
        tokenizer.pad_token_id,
        jit_compile,
        None if draft is None else NGramDraft(),
    )
    of_ids = IdSignatures(model, decoder, max_length, defaults)
    root = tf.Module()
    if ids:
        signatures = of_ids.signatures()
    else:
        of_texts = TextSignatures(model, of_ids, max_length, defaults, by_sampler=chosen is None)
        root.sentence_piece = of_texts.sentence_piece
        signatures = of_texts.signatures() | of_ids.stepwise_signatures()
    # Keras' `ExportArchive` would trace every function twice.
    functions = {
        name: tf.function(function, specs, autograph=False)
        for name, (function, specs) in signatures.items()
    }
    # TensorFlow Serving expects a signature of this name.
    functions.setdefault("serving_default", next(iter(functions.values())))
    root.weights = [variable.value for variable in model.variables]
    root.decoding_weights = decoder.variables
    # The gradients of our own formulas are of no use to a server.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    with atomic_directory(target) as folder, tensorflow_writes(target):
        tf.saved_model.save(root, str(folder), functions, options)
        write_description(folder, model, max_length, defaults, signatures, jit_compile, draft)
        write_warmup(folder, signatures, model, max_length, draft)
    return target


def version_folder(directory: StrPath, version: int | None) -> Path:
    """Returns the folder of a new version.

    Args:
        directory: Folder of all versions.
        version: Number of the version, or `None` for one more than the highest existing number.

    Raises:
        UserError: The version exists, or TensorFlow could not load from the path.
    """
    check_loadable(directory)
    directory = Path(directory)
    if version is None:
        versions = [p.name for p in directory.iterdir()] if directory.is_dir() else []
        version = 1 + max((int(v) for v in versions if re.fullmatch(r"\d+", v)), default=0)
    target = directory / str(version)
    if target.exists():
        raise UserError(f"{target} exists already; TensorFlow Serving never reloads a version.")
    return target
