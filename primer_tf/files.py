"""Writing files so that a reader never sees half of one, and no two processes write one folder."""

import errno
import fcntl
import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from primer_tf.errors import UserError

# The names of what is being written start so; a killed process leaves such files behind.
PARTIAL = ".partial-"
# The file in a folder that its writer holds.
LOCK = ".lock"


class DamagedFileError(Exception):
    """A file does not hold what was written to it; the message says how that shows."""


@contextmanager
def atomic_directory(path):
    """Fills a temporary folder beside `path` and puts it in place of `path` at the end.

    Args:
        path: Folder to create or replace.

    Yields:
        The temporary folder, a `Path`. When the block fails it is removed and `path` is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{path.name}-", dir=path.parent))
    try:
        yield temporary
        os.chmod(temporary, 0o755)  # mkdtemp's folders are private
        if path.exists():
            old = temporary.with_name(temporary.name + "-old")
            path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def atomic_write(path, content):
    """Writes a file at once.

    Args:
        path: File to create or replace.
        content: Bytes, or text to be written as UTF-8.
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


def read_npz(path):
    """Returns the arrays of an `.npz` file.

    Args:
        path: The file.

    Raises:
        DamagedFileError: It is not there, or its content is damaged.
        UserError: It cannot be read at present: no permission, too little memory and the like.
    """
    import numpy as np  # not for commands that read no arrays

    try:
        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged file fails in any way it likes
        number = getattr(error, "errno", None)
        # A damaged file may point before its own beginning: the seek is invalid.
        if isinstance(error, MemoryError) or number not in (None, errno.EINVAL, errno.ENOENT):
            reason = os.strerror(number) if number else "not enough memory"
            raise UserError(f"Cannot read {path}: {reason}.") from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DamagedFileError(reason) from error


def check_free_space(path, size):
    """Raises `OSError` unless so many bytes are free: for writers that do not survive a full disk.

    Args:
        path: An existing folder of the file system.
        size: Bytes that will be written.
    """
    if shutil.disk_usage(path).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@contextmanager
def tensorflow_writes(path):
    """Raises what TensorFlow's file system raises inside the block as an `OSError`.

    Args:
        path: What is written there.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        # "{{node ...}} FILE; No space left on device [Op:SaveV2]", perhaps with more lines.
        reason = re.sub(r" \[Op:.*|\{\{.*?\}\} ", "", error.message.splitlines()[0])
        raise OSError(errno.EIO, reason.split("; ")[-1], str(path)) from error


@contextmanager
def sole_writer(directory):
    """Keeps other processes from writing a folder, and removes what killed ones left half-written.

    Folders inside that have a writer of their own are left alone.

    Args:
        directory: The folder; created if needed.

    Raises:
        UserError: Another process holds it.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / LOCK, "w", encoding="utf-8") as lock:
        try:
            # The kernel lets go of it when the process ends, however it ends.
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
