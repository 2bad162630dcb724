"""Paths that TensorFlow cannot take for patterns.

TensorFlow finds a checkpoint by matching its path as a pattern. In a folder named `[v1]` it finds
none, and in a folder named `v?` it also deletes the outdated checkpoints of `v1`.
"""

import atexit
import os
import re
import shutil
import tempfile

from primer_tf.errors import UserError
from primer_tf.types import StrPath

SPECIAL = re.compile(r"[*?\[\\]")

# Symbolic links by the folders that they lead to.
_links: dict[str, str] = {}


def literal(folder: StrPath) -> str:
    """Returns a path of a folder that is no pattern.

    Args:
        folder: The folder. If its path is a pattern and it does not exist, it is created.

    Returns:
        The path itself, or if that is a pattern, the path of a symbolic link to the folder, which
        exists until the process ends.

    Raises:
        UserError: The path of the folder for temporary files is a pattern itself.
    """
    folder = os.fspath(folder)
    if not SPECIAL.search(folder) or "://" in folder:
        return folder
    folder = os.path.abspath(folder)
    if folder not in _links:
        parent = tempfile.mkdtemp(prefix="primer_tf-")
        atexit.register(shutil.rmtree, parent, ignore_errors=True)
        if SPECIAL.search(parent):
            raise UserError(
                f"TensorFlow takes {folder} and {parent} for patterns; rename the folder, or set "
                "TMPDIR to another one."
            )
        os.makedirs(folder, exist_ok=True)
        link = os.path.join(parent, SPECIAL.sub("_", os.path.basename(folder)))
        os.symlink(folder, link, target_is_directory=True)
        _links[folder] = link
    return _links[folder]


def literal_file(path: StrPath) -> str:
    """Returns a path of a file, or a prefix of file names, whose folder is no pattern."""
    folder, name = os.path.split(os.fspath(path))
    return os.path.join(literal(folder), name)


def as_named(text: str) -> str:
    """Returns a message with the links of `literal` replaced by the folders they lead to."""
    for folder, link in _links.items():
        text = text.replace(link, folder)
    return text


def check_loadable(directory: StrPath) -> None:
    """Checks that TensorFlow can load a SavedModel from a folder, which it also finds by pattern.

    Args:
        directory: The folder that the SavedModel will be written to.

    Raises:
        UserError: TensorFlow takes the folder's path for a pattern that does not match it.
    """
    path = as_named(os.path.abspath(directory))
    if re.search(r"\\|\[[^/]+\]", path) and "://" not in os.fspath(directory):
        raise UserError(
            f"TensorFlow cannot load a SavedModel from {path}: it takes square brackets and "
            "backslashes in a name for a pattern; choose another folder."
        )
