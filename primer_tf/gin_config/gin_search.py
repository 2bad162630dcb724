"""Where gin files are found, for both engines."""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import PathFinder
from typing import Any

from primer_tf import gin_directory
from primer_tf.errors import UserError
from primer_tf.types import StrPath


class GinSearch:
    """Finds gin files: what the user gives first, then T5's own, then those of this package.

    A file that the user names, on the command line or in Python, is the first of these that exists:

    1. the path itself, absolute or from the current folder; else the file of that name in a Python
       package (`my_package/models/mine.gin`);
    2. both again in each of `prefixes`, in order (T5's `--gin_location_prefix`);
    3. the file of T5's own gin folder (`dataset.gin`, `objectives/lm.gin`);
    4. the file of this package (`models/tiny_primer.gin`).

    A file that an `include` names is first looked for in the tree of the file that includes it: in
    its folder, then in each folder above. The search ends at the folder of the list above in which
    the including file lies; for a file in none of them, at the folder above its own. Then the file
    is looked for as if the user had named it. So a file of this package always gets this package's
    `defaults.gin`, T5's get T5's, and the files of a user's gin folder get their own, even where
    names are the same. A user's file may include any of the others.

    Args:
        prefixes: The user's search folders. Defaults to none.
        is_file: Function that tells whether there is a file at a path. Defaults to
            `os.path.isfile`.
    """

    def __init__(
        self,
        prefixes: Iterable[StrPath] = (),
        is_file: Callable[[str], bool] = os.path.isfile,
    ) -> None:
        self._prefixes = [os.fspath(prefix) for prefix in prefixes]
        self._last = [str(gin_directory())]
        if t5 := t5_gin_directory():
            self._last.insert(0, t5)
        self._is_file = is_file

    def find(self, name: StrPath, including: str | None = None) -> str | None:
        """Returns the absolute path of a gin file, or `None` if there is none.

        Args:
            name: Name of the file, as the user or an `include` has it.
            including: Absolute path of the file that includes it. Defaults to `None`, for a file
                that the user names.
        """
        found = filter(self._is_file, self._candidates(str(name), including))
        return next(map(_absolute, found), None)

    def _candidates(self, name: str, including: str | None) -> Iterator[str]:
        if _absolute(name) == name:
            yield name
            return
        if including is not None:
            for folder in self._tree(including):
                yield os.path.join(folder, name)
        for prefix in ("", *self._prefixes):
            path = os.path.join(prefix, name)
            yield path
            yield from _in_package(path)
        for folder in self._last:
            yield os.path.join(folder, name)

    def _tree(self, path: str) -> list[str]:
        """Returns the folders that are searched first for what a file includes."""
        folder = os.path.dirname(path)
        roots = [_absolute(root) for root in (os.curdir, *self._prefixes, *self._last)]
        containing = [root for root in roots if path.startswith(os.path.join(root, ""))]
        top = max(containing, key=len, default=os.path.dirname(folder))
        folders = [folder]
        while folder != top and folder != os.path.dirname(folder):
            folder = os.path.dirname(folder)
            folders.append(folder)
        return folders


def check_not_open(path: str, open_files: Iterable[str]) -> None:
    """Raises `UserError` if a file that is about to be read includes itself.

    Args:
        path: Path of the file.
        open_files: Paths of the files being read, each included by the previous one.
    """
    real = [os.path.realpath(file) for file in (*open_files, path)]
    if real[-1] in real[:-1]:
        circle = real[real.index(real[-1]) :]
        raise UserError(f"Circular include: {' includes '.join(map(os.path.basename, circle))}.")


def t5_gin_directory() -> str | None:
    """Returns the folder of T5's own gin files, or `None` without T5; does not import it."""
    for folder in _package_folders("t5", PathFinder.find_spec):
        return os.path.join(folder, "models", "gin")
    return None


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)


def _in_package(path: str) -> list[str]:
    """Returns the paths that `package/folder/file.gin` stands for, without importing anything."""
    head, file = os.path.split(path)
    package, *rest = head.replace("/", ".").split(".")
    if not package.isidentifier():
        return []
    folders = _package_folders(package, importlib.util.find_spec)
    return [os.path.join(folder, *rest, file) for folder in folders]


def _package_folders(name: str, find_spec: Callable[[str], Any]) -> list[str]:
    if name in sys.modules:
        return list(getattr(sys.modules[name], "__path__", ()))
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return []
    return list(spec.submodule_search_locations or ()) if spec else []
