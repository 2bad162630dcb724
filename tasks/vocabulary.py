"""The vocabulary that every task uses, chosen by gin when it is first needed."""

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

    Tasks are registered before gin files are read; the path is asked for at first use.
    """

    def __init__(self):
        super().__init__("", extra_ids=DEFAULT_EXTRA_IDS)

    def _model_context(self):
        if self._model is None:
            self._sentencepiece_model_file = path = sentencepiece_model()
            try:
                return super()._model_context()
            except Exception as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise UserError(
                    f"Cannot read the vocabulary {path} ({reason}); give the path of a "
                    "SentencePiece model, as in --gin_param=\"VOCABULARY='my.model'\"."
                ) from error
        return super()._model_context()

    @property
    def sentencepiece_model_file(self):
        """The path that gin gives."""
        return sentencepiece_model()
