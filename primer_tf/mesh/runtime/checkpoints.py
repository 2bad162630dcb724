"""Finding, checking and reading TensorFlow 1 checkpoints."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from primer_tf.errors import UserError, errors_of
from primer_tf.literal_paths import as_named, literal_file
from primer_tf.types import StrPath

# TensorFlow's messages for a file with damaged content, and for a missing file.
DAMAGE = re.compile("checksum|sstable|corrupt|Read less bytes than requested", re.IGNORECASE)
UNMATCHED = "Failed to find any matching files"


def latest(model_dir: StrPath) -> str | None:
    """Returns the newest checkpoint's path, or None if `model_dir` holds none.

    Raises:
      UserError: If the folder names a newest checkpoint whose files are missing, or the file that
        names it cannot be read.
    """
    with errors_of(f"read {model_dir}/checkpoint"):
        state = tf.train.get_checkpoint_state(str(model_dir))
    if state is None or not state.model_checkpoint_path:
        return None
    if not tf.io.gfile.exists(f"{state.model_checkpoint_path}.index"):
        raise UserError(
            f"{model_dir}/checkpoint names {state.model_checkpoint_path} as the newest checkpoint, "
            "but its files are missing; restore them, or edit that file to name one that exists."
        )
    return state.model_checkpoint_path


def required(model_dir: StrPath) -> str:
    """Returns the newest checkpoint's path.

    Raises:
      UserError: If `model_dir` holds no checkpoint.
    """
    path = latest(model_dir)
    if path is None:
        raise UserError(
            f"There is no checkpoint in {model_dir}; train first, or correct --model_dir."
        )
    return path


def read(path: str, name: str) -> np.ndarray:
    """Returns the value of the variable `name` in the checkpoint at `path`.

    Raises:
      UserError: If the checkpoint is damaged or cannot be read.
    """
    with explained(path):
        return reader(path).get_tensor(name)


def reader(path: str) -> Any:
    """Returns a reader of the variables of the checkpoint at `path`."""
    return tf.train.load_checkpoint(literal_file(path))


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Turns the errors that TensorFlow raises on unreadable checkpoints into a `UserError`."""
    try:
        yield
    except UserError:
        raise
    except (tf.errors.OpError, LookupError, RuntimeError, ValueError) as error:
        reason = first_line(error)
        # Only these messages prove damage: any other error may disappear with its cause.
        if DAMAGE.search(reason.replace(literal_file(path), "")):
            reason = as_named(reason)
            raise UserError(
                f"The checkpoint {path} is damaged ({reason}); name an older one in the file "
                "`checkpoint` beside it."
            ) from error
        if missing := re.match(f"(.*); {os.strerror(errno.ENOENT)}", reason):
            reason = f"{missing[1]} is missing"
        elif UNMATCHED in reason:
            reason = f"there is no {path}.index"
        raise UserError(as_named(f"The checkpoint {path} cannot be read: {reason}.")) from error


def first_line(error: BaseException) -> str:
    """Returns the first informative line of an error's message."""
    lines = [line.strip() for line in str(error).splitlines()]
    headings = ("Graph execution error:", "Original error:")  # The reason follows these lines.
    reasons = [line for line in lines if line and not line.endswith(headings)]
    return reasons[0] if reasons else type(error).__name__


def check(path: str, variables: Sequence[tf.Variable]) -> dict[str, tf.DType]:
    """Checks that a checkpoint is readable and holds the variables of the graph.

    Args:
      path: The checkpoint's prefix.
      variables: The graph's variables.

    Returns:
      A dictionary from name to stored dtype, for the variables that the checkpoint stores as
      narrower floats. Casting these loses nothing.

    Raises:
      UserError: If the checkpoint is damaged, belongs to another model, or holds wider numbers.
    """
    with explained(path):
        opened = reader(path)
        stored = opened.get_variable_to_shape_map()
        dtypes = opened.get_variable_to_dtype_map()
    wanted = {variable.op.name: variable.shape.as_list() for variable in variables}
    missing = sorted(set(wanted) - set(stored))
    misfits = [name for name in wanted if name in stored and stored[name] != wanted[name]]
    if missing or misfits:
        name = misfits[0] if misfits else missing[0]
        there = f"has shape {stored[name]}" if misfits else "is not in it"
        raise UserError(
            f"The checkpoint {path} belongs to another model: {name} should have shape "
            f"{wanted[name]} but {there}. Use the gin files it was trained with, or another "
            "--model_dir."
        )
    narrower = {}
    for variable in variables:
        name, dtype = variable.op.name, variable.dtype.base_dtype
        if dtypes[name] == dtype:
            continue
        if not _loses_nothing(dtypes[name], dtype):
            raise UserError(
                f"The checkpoint {path} holds {name} as {dtypes[name].name}, which {dtype.name} "
                "would round; bind utils.get_variable_dtype.master_dtype = "
                f"{dtypes[name].name!r} to continue from it."
            )
        narrower[name] = dtypes[name]
    with explained(path):
        for name in wanted:
            opened.get_tensor(name)
    return narrower


def _loses_nothing(stored: tf.DType, wanted: tf.DType) -> bool:
    """Returns whether a cast from `stored` to `wanted` preserves every number."""
    return stored.is_floating and wanted.is_floating and stored.size < wanted.size
