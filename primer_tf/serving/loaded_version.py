"""A version of a model, ready to answer."""

from pathlib import Path

from primer_tf.serving.saved_model import SavedModel
from primer_tf.serving.warmup import warm_up


class LoadedVersion:
    """Loads a version, and warms it up.

    Args:
        folder: The folder of the version.
        max_request_bytes: Size of an input of a warm-up request.
    """

    def __init__(self, folder: Path, max_request_bytes: int) -> None:
        self.saved_model = SavedModel(folder)
        warm_up(self.saved_model, max_request_bytes)

    def close(self) -> None:
        """Frees what does not free itself."""
