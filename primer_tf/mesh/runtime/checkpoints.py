"""Finding, checking and reading TensorFlow 1 checkpoints."""

import contextlib
import errno
import os
import re

import tensorflow.compat.v1 as tf

from primer_tf.errors import UserError, errors_of
from primer_tf.literal_paths import as_named, literal_file

# What TensorFlow says of a file whose content is not what was written, and of none.
DAMAGE = re.compile("checksum|sstable|corrupt|Read less bytes than requested", re.IGNORECASE)
UNMATCHED = "Failed to find any matching files"


def latest(model_dir):
    """Returns the newest checkpoint's path, or None if `model_dir` holds none.

    Raises:
      UserError: if the folder names a newest checkpoint whose files are gone, or the file that
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


def required(model_dir):
    """Returns the newest checkpoint's path.

    Raises:
      UserError: if there is none.
    """
    path = latest(model_dir)
    if path is None:
        raise UserError(
            f"There is no checkpoint in {model_dir}; train first, or correct --model_dir."
        )
    return path


def read(path, name):
    """Returns the value of the variable `name` in the checkpoint at `path` as a NumPy array.

    Raises:
      UserError: if the checkpoint is damaged, or cannot be read.
    """
    with explained(path):
        return reader(path).get_tensor(name)


def reader(path):
    """Returns what reads the variables of the checkpoint at `path`."""
    return tf.train.load_checkpoint(literal_file(path))


@contextlib.contextmanager
def explained(path):
    """Turns what TensorFlow raises on a checkpoint that it cannot read into a `UserError`."""
    try:
        yield
    except UserError:
        raise
    except (tf.errors.OpError, LookupError, RuntimeError, ValueError) as error:
        reason = first_line(error)
        # Only this proves damage: any other error may be gone when its cause is.
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


def first_line(error):
    """Returns the first line of an error's message that says something."""
    lines = [line.strip() for line in str(error).splitlines()]
    before = ("Graph execution error:", "Original error:")  # What follows these is the reason.
    told = [line for line in lines if line and not line.endswith(before)]
    return told[0] if told else type(error).__name__


def check(path, variables):
    """Checks that a checkpoint holds what the graph will ask of it, and reads well.

    Args:
      path: the checkpoint's prefix.
      variables: the graph's variables.

    Returns:
      A dictionary from the names of the variables that it holds as narrower floats, which lose
      nothing when they are cast, to their dtypes there.

    Raises:
      UserError: if it is damaged, belongs to another model, or holds wider numbers.
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
                f"{dtypes[name].name!r} to go on with it."
            )
        narrower[name] = dtypes[name]
    with explained(path):
        for name in wanted:
            opened.get_tensor(name)
    return narrower


def _loses_nothing(stored, wanted):
    """Whether a cast between two dtypes changes no number."""
    return stored.is_floating and wanted.is_floating and stored.size < wanted.size
