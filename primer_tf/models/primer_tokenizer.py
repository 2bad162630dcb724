"""SentencePiece tokenizer with T5's special tokens."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras
from keras_hub.tokenizers import SentencePieceTokenizer

from primer_tf.gin_config.trained_presets import preset_path
from primer_tf.keywords import check_keywords, parameter_names
from primer_tf.models.optional_tensorflow import in_tensorflow_graph, is_tensorflow_tensor
from primer_tf.models.preset_files import check_tokenizer
from primer_tf.models.primer_backbone import PrimerBackbone
from primer_tf.types import Config, StrPath

# Arguments of KerasHub's preprocessing layers that are not in their signatures.
PREPROCESSING_KEYWORDS = ("name", "trainable", "dtype", "config_file", "_allow_python_workflow")


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerTokenizer(SentencePieceTokenizer):
    """SentencePiece tokenizer whose vocabulary is part of the preset.

    The vocabulary must have T5's special pieces: `<pad>`, which also starts a sequence, as in T5's
    decoder, and `</s>`, which ends it. `primer vocab` trains such a vocabulary.

    A model may have more embedding rows than the vocabulary has pieces: T5 adds 100 sentinels and
    pads to a multiple of 128. Ids beyond the vocabulary are detokenized as the unknown piece.

    Args:
        proto: Path of a SentencePiece model, or its bytes.
        **kwargs: Arguments of `keras_hub.tokenizers.SentencePieceTokenizer`.

    Call arguments:
        inputs: A string, or a list or tensor of strings.

    Returns:
        Token ids, `[T]` for one string and ragged `[B, T]` for several.

    Raises:
        ValueError: An argument is unknown.

    Example:

    >>> from primer_tf.data.vocabulary import train_vocabulary
    >>> from primer_tf.models import PrimerTokenizer
    >>> texts = ["In the beginning God created the heaven and the earth."]
    >>> tokenizer = PrimerTokenizer(train_vocabulary(texts, size=280))
    >>> tokenizer.detokenize(tokenizer("In the beginning"))
    'In the beginning'
    """

    backbone_cls = PrimerBackbone
    _sentence_piece: Any

    def __init__(self, proto: str | bytes | None = None, **kwargs: Any) -> None:
        self._check_keywords(kwargs)
        self._add_special_token("</s>", "end_token")
        self._add_special_token("<pad>", "pad_token")
        self._add_special_token("<pad>", "start_token")
        super().__init__(proto=proto, **kwargs)
        # There is nothing to build, but `quantize` refuses a model with unbuilt layers.
        self.built = True

    @classmethod
    def _check_keywords(cls, keywords: Iterable[str]) -> None:
        known = (*parameter_names(cls, SentencePieceTokenizer), *PREPROCESSING_KEYWORDS)
        check_keywords(cls.__name__, keywords, known)

    @classmethod
    def from_config(cls, config: Config) -> "PrimerTokenizer":
        """Returns the tokenizer that `get_config` described, without its vocabulary."""
        cls._check_keywords(config)  # Keras' own message would include the whole config.
        return super().from_config(config)

    @classmethod
    def from_preset(cls, preset: StrPath, **kwargs: Any) -> "PrimerTokenizer":
        """Returns the tokenizer of a preset.

        Args:
            preset: A directory that `save_to_preset` wrote, or a hub handle.
            **kwargs: Constructor arguments, in place of those of the preset.

        Returns:
            A `PrimerTokenizer`.

        Raises:
            UserError: The preset is unknown or has no tokenizer.
        """
        check_tokenizer(preset)
        return super().from_preset(preset_path(preset), **kwargs)

    def detokenize(self, inputs: Any) -> Any:
        """Returns the strings of `[T]` or `[B, T]` token ids."""
        return super().detokenize(self._known_ids(inputs))

    def _tokenize_tf(self, inputs: Any) -> Any:
        with self._model_of_its_own():
            return super()._tokenize_tf(inputs)

    def _detokenize_tf(self, inputs: Any) -> Any:
        with self._model_of_its_own():
            return super()._detokenize_tf(inputs)

    @contextlib.contextmanager
    def _model_of_its_own(self) -> Iterator[None]:
        """Loads the vocabulary again for the operations that run or are traced in the block.

        The kernel that loads a vocabulary owns it. A kernel that ran eagerly is deleted when
        TensorFlow empties its caches, for example in Keras' `set_random_seed` and `clear_session`,
        and every function that captured its vocabulary fails from then on. A kernel inside a
        function lives as long as the function.
        """
        kept = self._sentence_piece
        self._set_proto_tf(self.proto)
        try:
            yield
        finally:
            if in_tensorflow_graph():
                self._sentence_piece = kept  # A tensor of a graph must not leave it.

    def _known_ids(self, ids: Any) -> Any:
        """Replaces ids beyond the vocabulary by the unknown piece."""
        size, unknown = self.vocabulary_size(), self._unk_token_id

        def replace(ids):
            if isinstance(ids, (list, tuple)):
                return [replace(i) for i in ids]
            return ids if ids < size else unknown

        if isinstance(ids, (list, tuple, int)):
            return replace(ids)
        if hasattr(ids, "with_flat_values"):  # A ragged tensor.
            return ids.with_flat_values(self._known_ids(ids.flat_values))
        if not is_tensorflow_tensor(ids):
            return replace(keras.ops.convert_to_numpy(ids).tolist())
        import tensorflow as tf

        return tf.where(ids < size, ids, tf.cast(unknown, ids.dtype))
