"""Has gin find its files in the order of `GinSearch`, in T5's command too.

gin has a list of folders, in which T5 puts its own before the user's, and looks for an included
file as for any other; a file of the same name in another folder is then read without a word.
"""

import contextlib
import logging
import os

import gin
from gin import config

from primer_tf import gin_directory
from primer_tf.gin_config.gin_search import GinSearch, check_not_open, t5_gin_directory

# The files that gin is reading, each included by the one before it.
_open_files: list[str] = []


def search():
    """Makes gin find files as `GinSearch` says; its own places come after that."""
    gin.add_config_file_search_path(str(gin_directory()))
    # gin tries its readers in order, and has no public way to put one first.
    config._FILE_READERS.insert(0, (_reader, _find))
    # gin calls it an error when a file is in the second place it looks and not in the first.
    logging.getLogger().addFilter(lambda record: "Path not found: " not in record.getMessage())


def _find(name):
    return GinSearch(_user_prefixes(), _is_file).find(name, *_open_files[-1:])


def _user_prefixes():
    """Returns the folders of `--gin_location_prefix`: those that neither we nor T5 added."""
    others = {os.path.realpath(gin_directory())}
    if t5 := t5_gin_directory():
        others.add(os.path.realpath(t5))
    return [p for p in config._LOCATION_PREFIXES if p and os.path.realpath(p) not in others]


def _is_file(path):
    if "://" not in path:
        return os.path.isfile(path)
    import tensorflow as tf

    return tf.io.gfile.exists(path) and not tf.io.gfile.isdir(path)


@contextlib.contextmanager
def _reader(name):
    path = _find(name)
    check_not_open(path, _open_files)
    _open_files.append(path)
    try:
        with _open(path) as file:
            yield file
    finally:
        _open_files.pop()


def _open(path):
    if "://" not in path:
        return open(path, encoding="utf-8")
    import tensorflow as tf

    return tf.io.gfile.GFile(path)
