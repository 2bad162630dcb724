"""From strings to the inputs and targets of a language model."""

from typing import Any

import keras
import numpy as np
from keras_hub.models import CausalLMPreprocessor

from primer_tf.errors import UserError
from primer_tf.gin_config.trained_presets import preset_path
from primer_tf.keywords import check_keywords, parameter_names
from primer_tf.models.optional_tensorflow import in_tensorflow_graph, is_tensorflow_tensor
from primer_tf.models.preset_files import check_tokenizer
from primer_tf.models.primer_backbone import PrimerBackbone
from primer_tf.models.primer_tokenizer import PREPROCESSING_KEYWORDS, PrimerTokenizer
from primer_tf.types import StrPath, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerCausalLMPreprocessor(CausalLMPreprocessor):
    """Turns strings into examples of one length, with targets shifted by one token.

    Longer strings are cut at `sequence_length`, shorter ones are padded. To train on long documents
    without losing text, use packed chunks (`primer_tf.data.TokenChunks`).

    Args:
        tokenizer: A `PrimerTokenizer`.
        sequence_length: Number of tokens in an example, `T`. Defaults to 512.
        add_start_token: Whether examples start with the start token. Defaults to `True`.
        add_end_token: Whether examples end with the end token. Defaults to `True`.
        **kwargs: Other arguments of `keras_hub.models.CausalLMPreprocessor`.

    Call arguments:
        x: A string, or a list or tensor of strings.

    Returns:
        `(inputs, targets, weights)`: a dict of `"token_ids"` and `"padding_mask"`, both `[B, T]`
        integers, the targets, `[B, T]` integers, and their weights, `[B, T]`, zero on padding.

    Raises:
        ValueError: An argument is unknown.

    Example:

    >>> from primer_tf.data.vocabulary import train_vocabulary
    >>> from primer_tf.models import PrimerCausalLMPreprocessor, PrimerTokenizer
    >>> texts = ["In the beginning God created the heaven and the earth."]
    >>> tokenizer = PrimerTokenizer(train_vocabulary(texts, size=280))
    >>> preprocessor = PrimerCausalLMPreprocessor(tokenizer, sequence_length=16)
    >>> inputs, targets, weights = preprocessor(["In the beginning"])
    >>> tuple(inputs["token_ids"].shape), tuple(targets.shape)
    ((1, 16), (1, 16))
    """

    backbone_cls = PrimerBackbone
    tokenizer_cls = PrimerTokenizer

    def __init__(
        self,
        tokenizer: PrimerTokenizer,
        sequence_length: int = 512,
        add_start_token: bool = True,
        add_end_token: bool = True,
        **kwargs: Any,
    ) -> None:
        known = (*parameter_names(type(self), CausalLMPreprocessor), *PREPROCESSING_KEYWORDS)
        check_keywords(type(self).__name__, kwargs, known)
        super().__init__(
            tokenizer,
            sequence_length=sequence_length,
            add_start_token=add_start_token,
            add_end_token=add_end_token,
            **kwargs,
        )

    @classmethod
    def from_preset(cls, preset: StrPath, **kwargs: Any) -> "PrimerCausalLMPreprocessor":
        """Returns the preprocessor of a preset.

        Args:
            preset: A directory that `save_to_preset` wrote, or a hub handle.
            **kwargs: Constructor arguments, in place of those of the preset.

        Returns:
            A `PrimerCausalLMPreprocessor`.

        Raises:
            UserError: The preset is unknown, or it has no tokenizer and none is given.
        """
        if "tokenizer" not in kwargs:
            check_tokenizer(preset)
        return super().from_preset(preset_path(preset), **kwargs)

    def call(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        sequence_length: int | None = None,
    ) -> Any:
        """Returns inputs, targets and weights of strings."""
        data = super().call(x, y=y, sample_weight=sample_weight, sequence_length=sequence_length)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        # `tf.distribute` cannot distribute booleans.
        x = {**x, "padding_mask": _cast(x["padding_mask"], "int32")}
        return keras.utils.pack_x_y_sample_weight(x, y, _cast(sample_weight, "float32"))

    def generate_preprocess(self, x: Any, sequence_length: int | None = None) -> dict[str, Tensor]:
        """Turns prompts into token ids with room for new tokens.

        Args:
            x: A string, or a list or tensor of strings.
            sequence_length: Number of tokens of prompt and completion together, including the start
                token. Defaults to the `sequence_length` of the preprocessor.

        Returns:
            Dict of `"token_ids"` and `"padding_mask"`, `[B, T]`, the mask true on the prompts.

        Raises:
            UserError: A prompt leaves no room. KerasHub would cut it and complete another text.
        """
        inputs = super().generate_preprocess(x, sequence_length=sequence_length)
        if in_tensorflow_graph():  # A `tf.data` pipeline cannot look at the values.
            return inputs
        if keras.ops.convert_to_numpy(inputs["padding_mask"])[..., -1].any():
            raise UserError(
                f"A prompt leaves no room for new text: with the start token it has at least the "
                f"{sequence_length or self.sequence_length} tokens of max_length; raise max_length "
                "or shorten the prompt."
            )
        return inputs


def _cast(x: Any, dtype: str) -> Any:
    """Casts what a preprocessor returns: a tensor of the backend or of a pipeline, or an array."""
    if is_tensorflow_tensor(x):
        import tensorflow as tf

        return tf.cast(x, dtype)
    return keras.ops.cast(x, dtype) if keras.ops.is_tensor(x) else np.asarray(x).astype(dtype)
