"""SentencePiece tokenizer with T5's special tokens."""

import contextlib

import keras
import tensorflow as tf
from keras_hub.tokenizers import SentencePieceTokenizer

from primer_tf.keywords import check_keywords, parameter_names
from primer_tf.models.preset_files import check_tokenizer
from primer_tf.models.primer_backbone import PrimerBackbone

# What KerasHub's preprocessing layers take besides their own arguments.
PREPROCESSING_KEYWORDS = ("name", "trainable", "dtype", "config_file", "_allow_python_workflow")


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerTokenizer(SentencePieceTokenizer):
    """SentencePiece tokenizer; the vocabulary travels inside the preset.

    The vocabulary has T5's special pieces: `<pad>`, which also starts a sequence as in T5's
    decoder, and `</s>`, which ends it. `primer vocab` trains one.

    A model may have more embedding rows than the vocabulary has pieces (T5 adds 100 sentinels and
    pads to a multiple of 128); ids beyond the vocabulary are detokenized as the unknown piece.

    Args:
        proto: Path of a SentencePiece model, or its bytes.
        **kwargs: Arguments of `keras_hub.tokenizers.SentencePieceTokenizer`.

    Raises:
        ValueError: An unknown argument.

    Call arguments:
        inputs: A string, or a list or tensor of them.

    Returns:
        Token ids, `[T]` for one string and ragged `[B, T]` for several.

    Example:

    >>> tokenizer = PrimerTokenizer("vocabulary.model")
    >>> tokenizer.detokenize(tokenizer("In the beginning"))
    """

    backbone_cls = PrimerBackbone

    def __init__(self, proto=None, **kwargs):
        self._check_keywords(kwargs)
        self._add_special_token("</s>", "end_token")
        self._add_special_token("<pad>", "pad_token")
        self._add_special_token("<pad>", "start_token")
        super().__init__(proto=proto, **kwargs)
        # There is nothing to build, and `quantize` refuses a model with unbuilt layers.
        self.built = True

    @classmethod
    def _check_keywords(cls, keywords):
        known = (*parameter_names(cls, SentencePieceTokenizer), *PREPROCESSING_KEYWORDS)
        check_keywords(cls.__name__, keywords, known)

    @classmethod
    def from_config(cls, config):
        """Returns the tokenizer that `get_config` described, without its vocabulary."""
        cls._check_keywords(config)  # Keras would bury the line in a report of the whole config
        return super().from_config(config)

    @classmethod
    def from_preset(cls, preset, **kwargs):
        """Returns the tokenizer of a preset.

        Args:
            preset: A directory that `save_to_preset` wrote, or a hub handle.
            **kwargs: Overrides of constructor arguments.

        Returns:
            A `PrimerTokenizer`.

        Raises:
            UserError: The preset is unknown or has no tokenizer.
        """
        check_tokenizer(preset)
        return super().from_preset(str(preset), **kwargs)

    def detokenize(self, inputs):
        """Returns the strings of `[T]` or `[B, T]` token ids."""
        return super().detokenize(self._known_ids(inputs))

    def _tokenize_tf(self, inputs):
        with self._model_of_its_own():
            return super()._tokenize_tf(inputs)

    def _detokenize_tf(self, inputs):
        with self._model_of_its_own():
            return super()._detokenize_tf(inputs)

    @contextlib.contextmanager
    def _model_of_its_own(self):
        """Inside, TensorFlow Text has loaded the vocabulary for what is executed or traced here.

        A kernel owns what it has loaded. That of an eager operation goes when TensorFlow empties
        its caches (`set_random_seed` and `clear_session` of Keras make it), and every function that
        captured it fails from then on; one inside a function lives as long as that.
        """
        kept = self._sentence_piece
        self._set_proto_tf(self.proto)
        try:
            yield
        finally:
            if not tf.executing_eagerly():
                self._sentence_piece = kept  # a tensor of a graph must not get out of it

    def _known_ids(self, ids):
        """Replaces ids beyond the vocabulary by the unknown piece."""
        size, unknown = self.vocabulary_size(), self._unk_token_id

        def replace(ids):
            if isinstance(ids, (list, tuple)):
                return [replace(i) for i in ids]
            return ids if ids < size else unknown

        if isinstance(ids, (list, tuple, int)):
            return replace(ids)
        if hasattr(ids, "with_flat_values"):  # a ragged tensor
            return ids.with_flat_values(self._known_ids(ids.flat_values))
        if not tf.is_tensor(ids):
            return replace(keras.ops.convert_to_numpy(ids).tolist())
        return tf.where(ids < size, ids, tf.cast(unknown, ids.dtype))
