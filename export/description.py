"""What a version folder says about its model, for people and for programs."""

import json
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from primer_tf import __version__
from primer_tf.errors import UserError
from primer_tf.export.request_settings import Defaults
from primer_tf.gin_config import gin_writer
from primer_tf.models import PrimerCausalLM
from primer_tf.models.speculative_decoding import FIRST_CREDIT

# Counts the changes of signatures and files that a client must know.
FORMAT_VERSION = 1

CARD = """\
# {title}

A Primer language model ("Primer: Searching for Efficient Transformers for Language Modeling", So et
al. 2021), exported by primer_tf {version} with TensorFlow {tensorflow}.

| | |
| --- | --- |
| parameters | {parameters:,} |
| architecture | {architecture} |
| vocabulary | {pieces:,} SentencePiece tokens ({rows:,} rows of the embedding) |
| longest text | {max_length} tokens of prompt and completion |
| weights | {weights} |
| decoding loop | {loop} |
| drafts from | {draft} |
| sampler of `serving_default` | {sampler} |

## Signatures

{signatures}

An input with a default may be left out over gRPC, not over REST. Inputs other than scalars have one
value for each row, and those with defaults may have one for all. A row's answer depends neither
on the other rows nor on its place; only the last digits of its logits do.

## Files

- `assets.extra/vocabulary.model`: the SentencePiece vocabulary.
- `assets.extra/config.json`: the arguments of the model{gin}.
- `assets.extra/export.json`: limits, special tokens and defaults, for programs.
- `assets.extra/tf_serving_warmup_requests`: what TensorFlow Serving runs before it serves.

## Use

The training data, the intended use and the license are not known to the export; describe them here.
The model continues text as its training data would. It may write what is false or offensive.
"""


def write_description(
    folder: Path,
    model: PrimerCausalLM,
    max_length: int,
    defaults: Defaults,
    signatures: dict[str, tuple[Any, list[Any]]],
    jit_compile: bool,
    draft: str | None,
) -> None:
    """Writes the vocabulary, the description of the model and the model card.

    Args:
        folder: The folder of the version.
        model: A compiled `PrimerCausalLM` with a preprocessor.
        max_length: Largest number of tokens of prompt and completion.
        defaults: The settings of requests that give none.
        signatures: The functions and the specs of their inputs by the names of the signatures.
        jit_compile: Whether XLA compiles the decoding loop.
        draft: From what tokens are guessed, or `None`.
    """
    assert model.preprocessor is not None  # `export_saved_model` checks it
    tokenizer, backbone = model.preprocessor.tokenizer, model.backbone
    extra = folder / "assets.extra"
    extra.mkdir()
    (extra / "vocabulary.model").write_bytes(tokenizer.proto)
    _write_json(extra / "config.json", backbone.get_config())
    try:
        (extra / "model.gin").write_text(gin_writer.write(backbone.arguments), encoding="utf-8")
    except UserError:  # Mesh TensorFlow has no counterpart of this architecture.
        gin = ""
    else:
        gin = ", and `model.gin`, a gin file of it"
    settings = {
        "name": type(model.sampler).__name__,
        **keras.saving.serialize_keras_object(model.sampler.get_config()),
    }
    export = {
        "format_version": FORMAT_VERSION,
        "primer_tf": __version__,
        "tensorflow": tf.__version__,
        "signatures": sorted(signatures),
        "max_length": max_length,
        "vocabulary_size": backbone.vocabulary_size,
        "start_token_id": tokenizer.start_token_id,
        "end_token_id": tokenizer.end_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "dtype": model.dtype_policy.name,
        "quantization": model.quantization_mode,
        "jit_compile": jit_compile,
        "draft": draft,
        "draft_credit": None if draft is None else FIRST_CREDIT,
        "sampler": settings,
        "defaults": defaults._asdict(),
    }
    _write_json(extra / "export.json", export)
    weights = f"{model.quantization_mode}, computed in " if model.quantization_mode else ""
    card = CARD.format(
        title=backbone.name,
        version=__version__,
        tensorflow=tf.__version__,
        parameters=backbone.count_params(),
        architecture=f"{backbone.num_layers} blocks of {', '.join(backbone.block)}; "
        f"{backbone.hidden_dim} channels",
        pieces=tokenizer.vocabulary_size(),
        rows=backbone.vocabulary_size,
        max_length=max_length,
        weights=weights + model.dtype_policy.name,
        loop="compiled by XLA; TensorFlow Serving needs `--xla_cpu_compilation_enabled`"
        if jit_compile
        else "not compiled by XLA",
        draft="none" if draft is None else "the text itself",
        sampler=", ".join(f"{key} {value}" for key, value in settings.items()),
        signatures=_table(signatures, defaults),
        gin=gin,
    )
    (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")


def _table(signatures: dict[str, tuple[Any, list[Any]]], defaults: Defaults) -> str:
    """Returns a Markdown table of the signatures and their inputs."""
    known = {**defaults._asdict(), "stop": "none"}
    lines = ["| signature | inputs |", "| --- | --- |"]
    for name, (_, specs) in signatures.items():
        inputs = []
        for spec in tf.nest.flatten(specs):
            if spec.shape.rank == 3:  # a tensor of the cache
                continue
            shape = "".join(["[", ", ".join("BN"[: spec.shape.rank]), "]"])
            default = (
                f" = {known[spec.name]}"
                if name.startswith("generate") and spec.name in known
                else ""
            )
            inputs.append(f"`{spec.name}` {spec.dtype.name} {shape}{default}")
        if any(spec.shape.rank == 3 for spec in tf.nest.flatten(specs)):
            inputs.append("`cache_*` [B, N, C]")
        lines.append(f"| `{name}` | {', '.join(inputs)} |")
    return "\n".join(lines)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
