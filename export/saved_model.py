"""Exports a model to a SavedModel that TensorFlow Serving can load."""

import re
from pathlib import Path

import keras
import tensorflow as tf

from primer_tf.errors import UserError
from primer_tf.files import atomic_directory, tensorflow_writes
from primer_tf.literal_paths import check_loadable
from primer_tf.models import PrimerCausalLM
from primer_tf.types import StrPath


class ServedPrimer(tf.Module):
    """A Primer with its tokenizer and its sampler, as two functions of tensors.

    Args:
        model: A compiled `PrimerCausalLM` with a preprocessor, whose sampler is exported, too.
        max_length: Maximum number of tokens in prompt and completion together.
    """

    def __init__(self, model: PrimerCausalLM, max_length: int) -> None:
        super().__init__()
        self._generate_step = model.generate_step
        assert model.preprocessor is not None  # `export_saved_model` checks it
        self._tokenizer = model.preprocessor.tokenizer
        self._max_length = max_length
        # A SavedModel finds variables and the vocabulary by following attributes.
        self.weights = [variable.value for variable in model.variables]
        self.sampler_state = [variable.value for variable in model.sampler.variables]
        self.sentence_piece = self._tokenizer._sentence_piece

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="prompts")])
    def generate(self, prompts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Completes texts.

        A prompt that leaves no room for new text is an error. It is not truncated.

        Args:
            prompts: String tensor of shape `[B]`, in UTF-8.

        Returns:
            Dict with `"texts"`, a string tensor of shape `[B]`: each prompt with its completion.
        """
        tokens = self.sentence_piece.tokenize(prompts)
        start = tf.fill([tf.shape(prompts)[0], 1], self._tokenizer.start_token_id)
        tokens = tf.concat([tf.cast(start, tokens.dtype), tokens], axis=1)
        tf.debugging.assert_less(
            tokens.row_lengths(),
            tf.constant(self._max_length, tf.int64),
            f"a prompt leaves no room for new text within {self._max_length} tokens",
        )
        outputs = self._complete(
            tokens.to_tensor(self._tokenizer.pad_token_id, shape=[None, self._max_length]),
            tf.sequence_mask(tokens.row_lengths(), self._max_length),
        )
        ids, keep = outputs["token_ids"], outputs["padding_mask"]
        for special in set(self._tokenizer.special_token_ids):
            keep = tf.logical_and(keep, tf.not_equal(ids, special))
        ids = tf.ragged.boolean_mask(ids, keep)
        return {"texts": self.sentence_piece.detokenize(self._tokenizer._known_ids(ids))}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32, name="token_ids"),
            tf.TensorSpec([None, None], tf.bool, name="padding_mask"),
        ]
    )
    def generate_tokens(
        self, token_ids: tf.Tensor, padding_mask: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Completes token ids.

        Args:
            token_ids: Integer tensor of shape `[B, T]` with `T <= max_length`. Each row is a start
                token and a prompt, padded on the right.
            padding_mask: Boolean tensor of shape `[B, T]`, true on the start token and the prompt.
                Each row must have at least one true value.

        Returns:
            Dict with `"token_ids"` and `"padding_mask"`, both of shape `[B, max_length]`.
        """
        missing = self._max_length - tf.shape(token_ids)[1]
        tf.debugging.assert_non_negative(
            missing, f"prompts may have at most {self._max_length} tokens"
        )
        lengths = tf.reduce_sum(tf.cast(padding_mask, tf.int32), axis=1)
        on_the_left = tf.sequence_mask(lengths, tf.shape(padding_mask)[1])
        tf.debugging.Assert(
            tf.reduce_all(lengths > 0) & tf.reduce_all(tf.equal(padding_mask, on_the_left)),
            ["padding_mask must be true on prompts that start their rows; pad on the right"],
        )
        padding = [[0, 0], [0, missing]]
        return self._complete(tf.pad(token_ids, padding), tf.pad(padding_mask, padding))

    def _complete(self, token_ids: tf.Tensor, padding_mask: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = {
            "token_ids": tf.ensure_shape(token_ids, [None, self._max_length]),
            "padding_mask": tf.ensure_shape(padding_mask, [None, self._max_length]),
        }
        return self._generate_step(inputs, stop_token_ids=[self._tokenizer.end_token_id])


def export_saved_model(
    model: PrimerCausalLM,
    directory: StrPath,
    max_length: int | None = None,
    version: int | None = None,
) -> Path:
    """Writes a SavedModel to `directory/version`, the layout that TensorFlow Serving watches.

    The signature `serving_default` maps strings to strings, and `tokens` maps token ids to token
    ids. `serving_default` needs the TF Text ops, which stock TensorFlow Serving has.

    Args:
        model: A compiled `PrimerCausalLM` with a preprocessor.
        directory: Folder of all versions.
        max_length: Maximum number of tokens in prompt and completion together, by default the
            preprocessor's sequence length. It must be between 2 and the model's maximum.
        version: Number of the version, by default one more than the highest existing number.

    Returns:
        The folder of the version, a `Path`.

    Raises:
        UserError: If the backend is not TensorFlow, the model has no preprocessor, `max_length` is
            out of range, the version exists, or TensorFlow could not load from the path.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError("Export needs the TensorFlow backend; set KERAS_BACKEND=tensorflow.")
    if model.preprocessor is None:
        raise UserError("Export needs a model with a preprocessor, whose tokenizer it exports.")
    max_length = max_length or model.preprocessor.sequence_length
    limit = model.backbone.max_sequence_length
    if not 2 <= max_length <= limit:
        raise UserError(f"max_length {max_length} is not between 2 and the model's {limit}.")
    check_loadable(directory)
    directory = Path(directory)
    if version is None:
        versions = [p.name for p in directory.iterdir()] if directory.is_dir() else []
        version = 1 + max((int(v) for v in versions if re.fullmatch(r"\d+", v)), default=0)
    target = directory / str(version)
    if target.exists():
        raise UserError(f"{target} exists already; TensorFlow Serving never reloads a version.")
    served = ServedPrimer(model, max_length)
    signatures = {"serving_default": served.generate, "tokens": served.generate_tokens}
    with atomic_directory(target) as folder, tensorflow_writes(target):
        tf.saved_model.save(served, str(folder), signatures=signatures)
    return target
