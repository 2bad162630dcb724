"""Makes gin search for files in the order of `GinSearch`, so that T5's command does so, too.

gin searches a list of folders, and T5 puts its own folder before the user's. gin also searches this
list for included files, and silently reads a file of the same name in another folder.
"""

import contextlib
import logging
import os
from typing import IO

import gin
from gin import config

from primer_tf import gin_directory
from primer_tf.gin_config.gin_search import GinSearch, check_not_open, t5_gin_directory

# The files that gin is reading, each included by the one before it.
_open_files: list[str] = []


def search() -> None:
    """Makes gin search in the order of `GinSearch` first, and in its own order after that."""
    gin.add_config_file_search_path(str(gin_directory()))
    # gin tries its readers in order and has no public function to put one first.
    config._FILE_READERS.insert(0, (_reader, _find))
    # gin logs an error for every folder that lacks the file, even when a later folder has it.
    logging.getLogger().addFilter(lambda record: "Path not found: " not in record.getMessage())


def _find(name):
    return GinSearch(_user_prefixes(), _is_file).find(name, *_open_files[-1:])


def _user_prefixes() -> list[str]:
    """Returns the folders of `--gin_location_prefix`, without those added by us or by T5."""
    others = {os.path.realpath(gin_directory())}
    if t5 := t5_gin_directory():
        others.add(os.path.realpath(t5))
    return [p for p in config._LOCATION_PREFIXES if p and os.path.realpath(p) not in others]


def _is_file(path: str) -> bool:
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


def _open(path: str) -> IO[str]:
    if "://" not in path:
        return open(path, encoding="utf-8")
    import tensorflow as tf

    return tf.io.gfile.GFile(path)
