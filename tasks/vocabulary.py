"""The vocabularies of tasks: the one that gin configures, or one made from a model in memory."""

import os
import tempfile

import gin
import seqio
from t5.data.utils import DEFAULT_EXTRA_IDS, DEFAULT_SPM_PATH

from primer_tf.errors import UserError


@gin.configurable(module="primer_tf.tasks")
def sentencepiece_model(path: str = DEFAULT_SPM_PATH) -> str:
    """Returns the path of the SentencePiece model, by default T5's own in cloud storage."""
    return path


class ConfiguredVocabulary(seqio.SentencePieceVocabulary):
    """The SentencePiece vocabulary at the path that gin configures, with T5's 100 sentinels.

    Tasks are registered before gin files are read and outlive them, so every use looks up the path.
    SeqIO caches the model of each path.
    """

    def __init__(self) -> None:
        super().__init__("", extra_ids=DEFAULT_EXTRA_IDS)

    def _model_context(self):
        path = self.sentencepiece_model_file
        try:
            # Not stored in an attribute: SeqIO compares vocabularies by their attributes.
            return seqio.SentencePieceVocabulary(path, self._extra_ids)._model_context()
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"Cannot read the vocabulary {path} ({reason}); give the path of a "
                "SentencePiece model, as in --gin_param=\"sentencepiece_model.path = 'my.model'\"."
            ) from error

    @property
    def sentencepiece_model_file(self) -> str:
        """The path that gin configures."""
        return sentencepiece_model()


def vocabulary_of(
    model: bytes, extra_ids: int = DEFAULT_EXTRA_IDS
) -> seqio.SentencePieceVocabulary:
    """Returns the vocabulary of a SentencePiece model.

    Args:
      model: The serialized model.
      extra_ids: The number of sentinels after its pieces, T5's 100 by default.
    """
    with tempfile.TemporaryDirectory() as folder:
        # A new path for every model, because SeqIO caches models by path.
        path = os.path.join(folder, "vocabulary.model")
        with open(path, "wb") as file:
            file.write(model)
        vocabulary = seqio.SentencePieceVocabulary(path, extra_ids)
        vocabulary.load_model()
    return vocabulary
