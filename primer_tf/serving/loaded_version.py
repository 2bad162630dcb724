"""A version of a model, ready to answer."""

import json
import threading
from pathlib import Path

from primer_tf.serving.continuous_batching import ContinuousBatcher
from primer_tf.serving.metrics import Metrics
from primer_tf.serving.saved_model import SavedModel
from primer_tf.serving.status import Code, ServingError
from primer_tf.serving.vocabulary import Vocabulary
from primer_tf.serving.warmup import warm_up

# What completions need of a SavedModel.
_SIGNATURES = {"prefill", "decode", "score_prompt"}


class LoadedVersion:
    """Loads a version, and warms it up.

    Args:
        folder: The folder of the version.
        max_request_bytes: Size of an input of a warm-up request.
        max_batch_size: Rows of completions that are decoded together.
        metrics: Where tokens are counted.
    """

    def __init__(
        self, folder: Path, max_request_bytes: int, max_batch_size: int, metrics: Metrics
    ) -> None:
        self.saved_model = SavedModel(folder)
        warm_up(self.saved_model, max_request_bytes)
        self._lock = threading.Lock()
        self._batcher: ContinuousBatcher | None = None
        self._max_batch_size = max_batch_size
        self._metrics = metrics
        extra = folder / "assets.extra"
        self.vocabulary: Vocabulary | None = None
        if self.saved_model.signatures.keys() >= _SIGNATURES:
            self._description = json.loads((extra / "export.json").read_text("utf-8"))
            kinds = ("start_token_id", "end_token_id", "pad_token_id")
            special = [self._description[kind] for kind in kinds]
            self.vocabulary = Vocabulary(extra / "vocabulary.model", special[0], special)
            self.start_token_id = special[0]
            self.vocabulary_size = int(self._description["vocabulary_size"])
            self.max_length = int(self._description["max_length"])

    def check_completions(self) -> Vocabulary:
        """Returns the vocabulary.

        Raises:
            ServingError: The version has no signatures for completions.
        """
        if self.vocabulary is None:
            message = "The model has no signatures for completions; `primer export` writes them."
            raise ServingError(Code.FAILED_PRECONDITION, message)
        return self.vocabulary

    def batcher(self) -> ContinuousBatcher:
        """Returns the batcher of completions, which starts at the first call."""
        with self._lock:
            if self._batcher is None:
                self._batcher = ContinuousBatcher(
                    self.saved_model, self._description, self._max_batch_size, self._metrics
                )
            return self._batcher

    def close(self) -> None:
        """Ends the batcher."""
        with self._lock:
            if self._batcher is not None:
                self._batcher.close()
