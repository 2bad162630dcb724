"""The vocabularies of tasks: the one that gin chooses, or one that a caller has in hand."""

import os
import tempfile

import gin
import seqio
from t5.data.utils import DEFAULT_EXTRA_IDS, DEFAULT_SPM_PATH

from primer_tf.errors import UserError


@gin.configurable(module="primer_tf.tasks")
def sentencepiece_model(path=DEFAULT_SPM_PATH):
    """Returns the path of the SentencePiece model; T5's own, in a bucket, by default."""
    return path


class ConfiguredVocabulary(seqio.SentencePieceVocabulary):
    """A SentencePiece vocabulary with T5's 100 sentinels, at the path that gin gives.

    Tasks are registered before gin files are read, and outlive them: the path is asked for at
    every use, and SeqIO keeps what it has read from each path.
    """

    def __init__(self):
        super().__init__("", extra_ids=DEFAULT_EXTRA_IDS)

    def _model_context(self):
        path = self.sentencepiece_model_file
        try:
            # Kept in no attribute: SeqIO takes two vocabularies for one if their attributes agree.
            return seqio.SentencePieceVocabulary(path, self._extra_ids)._model_context()
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"Cannot read the vocabulary {path} ({reason}); give the path of a "
                "SentencePiece model, as in --gin_param=\"sentencepiece_model.path = 'my.model'\"."
            ) from error

    @property
    def sentencepiece_model_file(self):
        """The path that gin gives."""
        return sentencepiece_model()


def vocabulary_of(model, extra_ids=DEFAULT_EXTRA_IDS):
    """Returns the vocabulary of a SentencePiece model.

    Args:
      model: the model, as bytes.
      extra_ids: how many sentinels follow its pieces.
    """
    with tempfile.TemporaryDirectory() as folder:
        # A new path for each: SeqIO remembers models by it.
        path = os.path.join(folder, "vocabulary.model")
        with open(path, "wb") as file:
            file.write(model)
        vocabulary = seqio.SentencePieceVocabulary(path, extra_ids)
        vocabulary.load_model()
    return vocabulary
