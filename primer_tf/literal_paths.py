"""Paths that TensorFlow takes for what they are: names, not patterns.

TensorFlow finds a checkpoint by matching its path as a pattern. In a folder named `[v1]` it finds
none, and in one named `v?` it also deletes the outdated checkpoints of `v1`.
"""

import atexit
import os
import re
import shutil
import tempfile

from primer_tf.errors import UserError

SPECIAL = re.compile(r"[*?\[\\]")

# Links by the folders they lead to.
_links: dict[str, str] = {}


def literal(folder):
    """Returns a path of a folder that is no pattern.

    Args:
        folder: A path. A folder whose path is a pattern is created if need be.

    Returns:
        The same path, as a string; if that is a pattern, one of a symbolic link to it, which is
        there until the process ends.

    Raises:
        UserError: The path of the folder of temporary files is a pattern itself.
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


def literal_file(path):
    """Returns a path of a file, or of files that begin so, whose folder is no pattern."""
    folder, name = os.path.split(os.fspath(path))
    return os.path.join(literal(folder), name)


def as_named(text):
    """Returns a message with the paths of links replaced by those of the folders."""
    for folder, link in _links.items():
        text = text.replace(link, folder)
    return text


def check_loadable(directory):
    """Checks that a SavedModel can be loaded from a folder, which TensorFlow does by patterns too.

    Args:
        directory: Where it is to be written.

    Raises:
        UserError: The name cannot be loaded.
    """
    path = as_named(os.path.abspath(directory))
    if re.search(r"\\|\[[^/]+\]", path) and "://" not in os.fspath(directory):
        raise UserError(
            f"TensorFlow cannot load a SavedModel from {path}: it takes square brackets and "
            "backslashes in a name for a pattern; choose another folder."
        )
