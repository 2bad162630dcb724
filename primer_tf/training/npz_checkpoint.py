"""A checkpoint as one NumPy file, which any backend writes and reads."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from primer_tf.files import atomic_directory, read_npz

FILE = "variables.npz"


class NpzWriter:
    """Writes `variables.npz`, whose checksums (those of the zip format) are verified on reading.

    `save` copies the variables and returns; a thread writes them.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def save(self, folder: Path, variables: Mapping[str, keras.Variable]) -> None:
        """Starts to write a folder, which appears in one piece or not at all.

        Args:
            folder: The folder.
            variables: What to save, by name.
        """
        arrays = {name: _copy(variable) for name, variable in variables.items()}
        self._thread = threading.Thread(target=self._write, args=(folder, arrays))
        self._thread.start()

    def _write(self, folder: Path, arrays: dict[str, Any]) -> None:
        try:
            with atomic_directory(folder) as temporary:
                np.savez(temporary / FILE, **arrays)
        except BaseException as error:  # Raised by `wait`, in the thread that trains.
            self._error = error

    def wait(self) -> None:
        """Waits until the folder is written, and raises the error if it cannot be."""
        if self._thread is not None:
            self._thread.join()
        error, self._thread, self._error = self._error, None, None
        if error is not None:
            raise error


def read(folder: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a checkpoint by name.

    Args:
        folder: Its folder.

    Raises:
        DamagedFileError: The file does not exist or is damaged.
        UserError: The file cannot be read at present.
    """
    return read_npz(folder / FILE)


def _copy(variable: keras.Variable) -> np.ndarray:
    # Some backends share memory with NumPy, and the next step changes the variable in place.
    array = np.array(keras.ops.convert_to_numpy(variable))
    # NumPy's files know no bfloat16; float32 holds every value of it.
    return array.astype("float32") if array.dtype.kind == "V" else array
