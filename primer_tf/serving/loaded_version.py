"""A version of a model, ready to answer."""

from pathlib import Path

from primer_tf.serving.completion_model import CompletionModel, can_complete
from primer_tf.serving.metrics import Metrics
from primer_tf.serving.saved_model import SavedModel
from primer_tf.serving.status import Code, ServingError
from primer_tf.serving.warmup import warm_up


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
        self._completion_model: CompletionModel | None = None
        if can_complete(self.saved_model):
            self._completion_model = CompletionModel(self.saved_model, max_batch_size, metrics)

    def completion_model(self) -> CompletionModel:
        """Returns the version as a model that completes texts.

        Raises:
            ServingError: It has no signatures for completions.
        """
        if self._completion_model is None:
            message = "The model has no signatures for completions; `primer export` writes them."
            raise ServingError(Code.FAILED_PRECONDITION, message)
        return self._completion_model

    def close(self) -> None:
        """Ends the batcher."""
        if self._completion_model is not None:
            self._completion_model.batcher.close()
