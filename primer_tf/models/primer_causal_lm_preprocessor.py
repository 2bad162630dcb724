"""From strings to the inputs and targets of a language model."""

import keras
import numpy as np
import tensorflow as tf
from keras_hub.models import CausalLMPreprocessor

from primer_tf.errors import UserError
from primer_tf.keywords import check_keywords, parameter_names
from primer_tf.models.preset_files import check_tokenizer
from primer_tf.models.primer_backbone import PrimerBackbone
from primer_tf.models.primer_tokenizer import PREPROCESSING_KEYWORDS, PrimerTokenizer


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerCausalLMPreprocessor(CausalLMPreprocessor):
    """Tokenizes, adds start and end, pads or cuts, and shifts by one for the targets.

    Strings too long are cut at `sequence_length`; to train on long documents without losing text
    use packed chunks (`primer_tf.data.TokenChunks`).

    Args:
        tokenizer: A `PrimerTokenizer`.
        sequence_length: Tokens of an example, `T`.
        add_start_token: Whether examples start with the start token.
        add_end_token: Whether examples end with the end token.
        **kwargs: Other arguments of `keras_hub.models.CausalLMPreprocessor`.

    Raises:
        ValueError: An unknown argument.

    Call arguments:
        x: A string, or a list or tensor of them.

    Returns:
        `(inputs, targets, weights)`: a dict of `"token_ids"` and `"padding_mask"`, `[B, T]`
        integers, `[B, T]` integers, and `[B, T]` numbers that are zero on padding.

    Example:

    >>> preprocessor = PrimerCausalLMPreprocessor(PrimerTokenizer("vocabulary.model"))
    >>> inputs, targets, weights = preprocessor(["In the beginning"])
    """

    backbone_cls = PrimerBackbone
    tokenizer_cls = PrimerTokenizer

    def __init__(
        self, tokenizer, sequence_length=512, add_start_token=True, add_end_token=True, **kwargs
    ):
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
    def from_preset(cls, preset, **kwargs):
        """Returns the preprocessor of a preset, which must have a tokenizer if none is given.

        Args:
            preset: A directory that `save_to_preset` wrote, or a hub handle.
            **kwargs: Overrides of constructor arguments.

        Returns:
            A `PrimerCausalLMPreprocessor`.

        Raises:
            UserError: The preset is unknown or has no tokenizer.
        """
        if "tokenizer" not in kwargs:
            check_tokenizer(preset)
        return super().from_preset(str(preset), **kwargs)

    def call(self, x, y=None, sample_weight=None, sequence_length=None):
        """Returns inputs, targets and weights of strings."""
        data = super().call(x, y=y, sample_weight=sample_weight, sequence_length=sequence_length)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        # `tf.distribute` cannot hand out booleans.
        x = {**x, "padding_mask": _cast(x["padding_mask"], "int32")}
        return keras.utils.pack_x_y_sample_weight(x, y, _cast(sample_weight, "float32"))

    def generate_preprocess(self, x, sequence_length=None):
        """Turns prompts into token ids with room for what is to be generated.

        Args:
            x: A string, or a list or tensor of them.
            sequence_length: Tokens of prompt and completion, the start token included; default:
                that of the preprocessor.

        Returns:
            Dict of `"token_ids"` and `"padding_mask"`, `[B, T]`, the mask true on the prompts.

        Raises:
            UserError: A prompt leaves no room. KerasHub would cut it and complete another text.
        """
        inputs = super().generate_preprocess(x, sequence_length=sequence_length)
        if not tf.executing_eagerly():  # inside a tf.data pipeline nothing can be raised
            return inputs
        if keras.ops.convert_to_numpy(inputs["padding_mask"])[..., -1].any():
            raise UserError(
                f"A prompt leaves no room for new text: with the start token it has at least the "
                f"{sequence_length or self.sequence_length} tokens of max_length; raise max_length "
                "or shorten the prompt."
            )
        return inputs


def _cast(x, dtype):
    """Casts what a preprocessor returns: a tensor of the backend or of a pipeline, or an array."""
    if tf.is_tensor(x):
        return tf.cast(x, dtype)
    return keras.ops.cast(x, dtype) if keras.ops.is_tensor(x) else np.asarray(x).astype(dtype)
