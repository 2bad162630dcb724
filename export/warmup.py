"""The requests that TensorFlow Serving runs before it serves a version."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from primer_tf.export.cache_tensors import CacheTensors
from primer_tf.models import PrimerCausalLM, PrimerTokenizer

# Where TensorFlow Serving looks for them in the folder of a version.
FILE = "assets.extra/tf_serving_warmup_requests"
# The usual numbers of rows.
BATCH_SIZES = (1, 2, 4, 8)


def requests(
    names: Iterable[str],
    prompt: str,
    prompt_ids: Sequence[int],
    cache: CacheTensors,
    draft: str | None,
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields requests for some signatures, each for several batch sizes, greedy and sampled.

    Args:
        names: The names of the signatures.
        prompt: A text that leaves room for a new token.
        prompt_ids: Its ids with the start token.
        cache: The `CacheTensors` of the model.
        draft: From what tokens are guessed, or `None`.

    Yields:
        `(name, inputs)`: the name of a signature and the values of its inputs by name.
    """
    length = len(prompt_ids)
    sampling = {"top_k": [2], "top_p": [0.9], "repetition_penalty": [1.1], "seed": [0]}
    credit = {} if draft is None else {"draft_credit": 1.0}
    for rows in BATCH_SIZES:
        of_ids = {"token_ids": [list(prompt_ids)] * rows, "lengths": [length] * rows}
        step = {
            "token_ids": [prompt_ids[-1]] * rows,
            "positions": [length - 1] * rows,
            **cache.zeros(rows, length),
        }
        for temperature in (0.0, 1.0):
            choice = {**sampling, "temperature": [temperature]}
            generate = {**choice, "max_new_tokens": [1]}
            alternatives = {"steps": 1, "num_alternatives": 1, "seen_ids": [[-1]] * rows}
            inputs: dict[str, Mapping[str, Any]] = {
                "serving_default": {"prompts": [prompt] * rows},
                "generate": {"prompts": [prompt] * rows, "stop": [[""]], **generate},
                "score": {"prompts": [prompt] * rows, "continuations": [prompt] * rows},
                "embed": {"texts": [prompt] * rows},
                "generate_ids": {**of_ids, **generate},
                "score_ids": {**of_ids, "prompt_lengths": [1] * rows},
                "embed_ids": of_ids,
                "prefill": {**of_ids, "cache_length": length},
                "decode_step": step,
                "decode": {**step, **choice, **alternatives, **credit},
                "score_prompt": of_ids,
            }
            yield from ((name, inputs[name]) for name in names)


def write_warmup(
    folder: Path,
    names: Iterable[str],
    model: PrimerCausalLM,
    max_length: int,
    draft: str | None,
) -> None:
    """Writes requests as TensorFlow Serving reads them: a TFRecord of `PredictionLog`.

    Args:
        folder: The folder of the version.
        names: The names of its signatures.
        model: A `PrimerCausalLM` with a preprocessor.
        max_length: Largest number of tokens of prompt and completion.
        draft: From what tokens are guessed, or `None`.
    """
    assert model.preprocessor is not None  # `export_saved_model` checks it
    tokenizer = model.preprocessor.tokenizer
    found = _short_text(tokenizer, max_length)
    if found is None:
        return
    text, ids = found
    ids = [tokenizer.start_token_id, *ids]
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for name, inputs in requests(names, text, ids, CacheTensors(model), draft):
            writer.write(prediction_log(name, inputs))


def _short_text(tokenizer: PrimerTokenizer, max_length: int) -> tuple[str, list[int]] | None:
    """Returns a text and its ids, of which twice as many have room after a start token."""
    for token in range(tokenizer.vocabulary_size()):
        text = tokenizer.id_to_token(token).replace("\u2581", " ").strip()
        if text.isalpha():
            ids = np.asarray(tokenizer(text)).tolist()
            if 1 + 2 * len(ids) <= max_length:
                return text, ids
    return None


def prediction_log(name: str, inputs: Mapping[str, Any]) -> bytes:
    """Returns the `PredictionLog` of a request, serialized.

    The message is encoded here, so that an export needs no tensorflow-serving-api. Source of the
    numbers: `prediction_log.proto`, `predict.proto` and `model.proto` of TensorFlow Serving.

    Args:
        name: The name of the signature.
        inputs: The values of its inputs by name.
    """
    model_spec = _field(3, name.encode("utf-8"))
    request = _field(1, model_spec)
    for key, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(2, _field(1, key.encode("utf-8")) + _field(2, tensor))
    predict_log = _field(1, request)
    return _field(6, predict_log)


def _field(number: int, content: bytes) -> bytes:
    """Returns a field of a protocol buffer that has a length: a string or another message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
