"""From strings to the inputs and targets of a language model."""

import keras
from keras_hub.models import CausalLMPreprocessor

from primer_tf.models.primer_backbone import PrimerBackbone
from primer_tf.models.primer_tokenizer import PrimerTokenizer


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerCausalLMPreprocessor(CausalLMPreprocessor):
    """Tokenizes, adds start and end, pads or cuts, and shifts by one for the targets.

    Strings too long are cut at `sequence_length`; to train on long documents without losing text
    use packed chunks (`primer_tf.training.TokenChunks`).

    Args:
        tokenizer: A `PrimerTokenizer`.
        sequence_length: Tokens of an example, `T`.
        **kwargs: Arguments of `keras_hub.models.CausalLMPreprocessor`.

    Call arguments:
        x: A string, or a list or tensor of them.

    Returns:
        `(inputs, targets, weights)`: a dict of `"token_ids"` and `"padding_mask"`, `[B, T]`
        integers, and `[B, T]` weights that are zero on padding.

    Example:

    >>> preprocessor = PrimerCausalLMPreprocessor(PrimerTokenizer("vocabulary.model"))
    >>> inputs, targets, weights = preprocessor(["In the beginning"])
    """

    backbone_cls = PrimerBackbone
    tokenizer_cls = PrimerTokenizer

    def __init__(self, tokenizer, sequence_length=512, **kwargs):
        super().__init__(tokenizer, sequence_length=sequence_length, **kwargs)
