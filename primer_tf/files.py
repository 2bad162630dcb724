"""Files that are whole or absent, and folders that only one process writes."""

import errno
import fcntl
import os
import re
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from primer_tf.errors import UserError
from primer_tf.types import StrPath

if TYPE_CHECKING:
    import numpy as np

# The prefix of files and folders that are still being written. A killed process leaves them behind.
PARTIAL = ".partial-"
# The file in a folder that its writer holds.
LOCK = ".lock"


class DamagedFileError(Exception):
    """A file is missing or does not hold what was written to it; the message says how."""


@contextmanager
def atomic_directory(path: StrPath) -> Iterator[Path]:
    """Replaces a folder in one step by a temporary folder that the block fills.

    Who opens the folder by its path finds the old one or the new one, and at no time none.

    Args:
        path: The folder to create or replace.

    Yields:
        The temporary folder, beside `path`. If the block raises an error, it is removed and `path`
        stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{path.name}-", dir=path.parent))
    try:
        yield temporary
        os.chmod(temporary, 0o755)  # `mkdtemp` makes private folders.
        if path.exists():
            _exchange(temporary, path)
        else:
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exchange(one: Path, other: Path) -> None:
    """Exchanges two folders in one step, or in three where the file system cannot do that."""
    import ctypes  # Few commands replace a folder.

    at_working_directory, rename_exchange = -100, 2  # Linux' AT_FDCWD and RENAME_EXCHANGE
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    paths = [os.fsencode(path.absolute()) for path in (one, other)]
    if rename is None or rename(
        at_working_directory, paths[0], at_working_directory, paths[1], rename_exchange
    ):
        aside = one.with_name(f"{one.name}-old")
        other.rename(aside)
        one.rename(other)
        aside.rename(one)


def link_or_copy(source: StrPath, target: StrPath) -> None:
    """Makes a second name for a file, or a copy where the file system has no hard links.

    Args:
        source: The file. It may later be replaced, but must not be changed in place.
        target: The new name.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def atomic_write(path: StrPath, content: str | bytes) -> None:
    """Creates or replaces a file in one step.

    Args:
        path: The file.
        content: Bytes, or text that is written as UTF-8.
    """
    path = Path(path)
    if isinstance(content, str):
        content = content.encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{PARTIAL}{path.name}-{os.getpid()}"
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_npz(path: StrPath) -> "dict[str, np.ndarray]":
    """Returns the arrays of an `.npz` file by name.

    Args:
        path: The file.

    Raises:
        DamagedFileError: The file does not exist or is damaged.
        UserError: The file cannot be read at present, for example for lack of permission or memory.
    """
    import numpy as np  # Imported here, because most commands read no arrays.

    try:
        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # A damaged file may raise any error.
        number = getattr(error, "errno", None)
        # A damaged file may point before its own start, which makes a seek invalid.
        if isinstance(error, MemoryError) or number not in (None, errno.EINVAL, errno.ENOENT):
            reason = os.strerror(number) if number else "not enough memory"
            raise UserError(f"Cannot read {path}: {reason}.") from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DamagedFileError(reason) from error


def check_free_space(path: StrPath, size: int) -> None:
    """Checks that a disk has room for a file, for writers that do not survive a full one.

    Args:
        path: An existing folder on the disk.
        size: Number of bytes that will be written.

    Raises:
        OSError: Fewer bytes are free, or this process may write fewer.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY and limit < size:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    if shutil.disk_usage(path).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@contextmanager
def tensorflow_writes(path: StrPath) -> Iterator[None]:
    """Raises the errors of TensorFlow's file system in the block as `OSError`.

    Args:
        path: The file or folder that the block writes.

    Raises:
        OSError: TensorFlow cannot write.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        # "{{node ...}} FILE; No space left on device [Op:SaveV2]", perhaps with more lines.
        reason = re.sub(r" \[Op:.*|\{\{.*?\}\} ", "", error.message.splitlines()[0])
        raise OSError(errno.EIO, reason.split("; ")[-1], str(path)) from error


@contextmanager
def sole_writer(directory: StrPath) -> Iterator[None]:
    """Locks a folder against other writers, and removes what killed writers left unfinished.

    Folders inside that have a writer of their own are left alone.

    Args:
        directory: The folder, which is created if it does not exist.

    Raises:
        UserError: Another process holds the lock.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / LOCK, "w", encoding="utf-8") as lock:
        try:
            # The kernel releases the lock when the process ends, however it ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"Another process is writing {directory}; wait for it or choose another folder."
            ) from error
        _remove_partial(directory)
        yield


def _remove_partial(directory):
    for path in list(directory.iterdir()):
        is_folder = path.is_dir() and not path.is_symlink()
        if path.name.startswith(PARTIAL):
            shutil.rmtree(path) if is_folder else path.unlink()
        elif is_folder and not (path / LOCK).exists():
            _remove_partial(path)
