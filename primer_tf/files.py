"""Writing files so that a reader never sees half of one."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path


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
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield temporary
        if path.exists():
            old = temporary.with_name(temporary.name + "-old")
            path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)
        os.chmod(path, 0o755)  # mkdtemp's folders are private
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
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
