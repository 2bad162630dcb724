"""A checkpoint by Orbax: each process and device writes and reads its own parts of the arrays."""

import contextlib
import errno
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from primer_tf.errors import UserError, first_line
from primer_tf.files import DamagedFileError, atomic_write
from primer_tf.types import Tensor

# Orbax' own file of its description of the arrays.
METADATA = "_METADATA"
CHECKSUMS = "checksums.json"
# Written when the checksums are.
WITHOUT_CHECKSUM = (CHECKSUMS, "_CHECKPOINT_METADATA")
UNFINISHED = ".orbax-checkpoint-tmp"


class OrbaxWriter:
    """Writes the parts of sharded JAX arrays; CRC-32 of all files are verified on reading.

    `save` copies the arrays to the host and returns; Orbax' threads write them.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._checkpointer: Any = None

    def save(self, folder: Path, variables: Mapping[str, keras.Variable]) -> None:
        """Starts to write a folder, which appears in one piece or not at all.

        Args:
            folder: The folder.
            variables: What to save, by name.
        """
        import orbax.checkpoint as ocp

        if self._checkpointer is None:
            options = ocp.AsyncOptions(post_finalization_callback=self._write_checksums)
            self._checkpointer = ocp.AsyncCheckpointer(
                ocp.PyTreeCheckpointHandler(), async_options=options
            )
        self._folder = folder.absolute()
        folder.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: variable.value for name, variable in variables.items()}
        with _os_errors(folder):
            self._checkpointer.save(self._folder, args=ocp.args.PyTreeSave(arrays))

    def wait(self) -> None:
        """Waits until the folder is written, and raises the error if it cannot be."""
        if self._folder is not None:
            try:
                with _os_errors(self._folder):
                    self._checkpointer.wait_until_finished()
            except OSError:
                remove_unfinished(self._folder.parent)
                raise

    def _write_checksums(self) -> None:
        """Is called by Orbax when all is written, before the folder gets its name."""
        import jax

        folder = self._folder
        if jax.process_index() == 0 and folder is not None:
            (unfinished,) = folder.parent.glob(f"{folder.name}{UNFINISHED}*")
            atomic_write(unfinished / CHECKSUMS, json.dumps(_checksums(unfinished)))


def read(folder: Path, variables: Mapping[str, keras.Variable]) -> dict[str, Tensor]:
    """Returns the arrays of a checkpoint by name.

    On JAX they are split over devices as the variables are, whatever devices they were saved from.

    Args:
        folder: Its folder.
        variables: What will have these values, by name.

    Raises:
        DamagedFileError: A file is missing or damaged.
        UserError: A file cannot be read at present, or Orbax is not installed.
    """
    try:
        import jax
        import orbax.checkpoint as ocp
    except ImportError as error:
        raise UserError(
            f"{folder} was written by JAX; install what reads it: pip install 'primer_tf[jax]'."
        ) from error
    _verify(folder)
    folder = folder.absolute()
    with contextlib.closing(ocp.PyTreeCheckpointer()) as checkpointer:
        try:
            saved = dict(checkpointer.metadata(folder).item_metadata.tree)
            arguments = {}
            for name, description in saved.items():
                variable = variables.get(name)
                arguments[name] = ocp.RestoreArgs(restore_type=np.ndarray)
                if (
                    keras.backend.backend() == "jax"
                    and variable is not None
                    and tuple(description.shape) == tuple(variable.shape)
                ):
                    sharding = variable.value.sharding
                    if isinstance(sharding, jax.sharding.NamedSharding):
                        arguments[name] = ocp.ArrayRestoreArgs(sharding=sharding)
            return checkpointer.restore(folder, args=ocp.args.PyTreeRestore(restore_args=arguments))
        except MemoryError as error:
            raise UserError(f"Cannot read {folder}: not enough memory.") from error
        except Exception as error:  # A damaged file may raise any error.
            raise DamagedFileError(first_line(error)) from error


def remove_unfinished(directory: Path) -> None:
    """Removes what a killed process has left in a folder of checkpoints."""
    for path in directory.glob(f"step_*{UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)


def _checksums(folder: Path) -> dict[str, int]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(folder)): _crc32(path)
        for path in paths
        if path.name not in WITHOUT_CHECKSUM
    }


def _crc32(path: Path) -> int:
    crc = 0
    with open(path, "rb") as file:
        while block := file.read(2**24):
            crc = zlib.crc32(block, crc)
    return crc


def _verify(folder: Path) -> None:
    try:
        expected = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        found = _checksums(folder)
    except (FileNotFoundError, ValueError, RecursionError) as error:
        raise DamagedFileError(f"{CHECKSUMS}: {first_line(error)}") from error
    except OSError as error:
        raise UserError(f"Cannot read {error.filename}: {error.strerror}.") from error
    for name in expected if isinstance(expected, dict) else [CHECKSUMS]:
        if name not in found or found[name] != expected[name]:
            raise DamagedFileError(f"{name} {'has changed' if name in found else 'is missing'}")


@contextlib.contextmanager
def _os_errors(folder: Path) -> Iterator[None]:
    """Raises what Orbax and TensorStore raise in the block as `OSError`."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        full = os.strerror(errno.ENOSPC)
        if full in str(error):
            raise OSError(errno.ENOSPC, full, str(folder)) from error
        raise OSError(errno.EIO, first_line(error), str(folder)) from error
