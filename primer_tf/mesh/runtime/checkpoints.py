"""Finding, checking and reading TensorFlow 1 checkpoints."""

import tensorflow.compat.v1 as tf

from primer_tf.errors import UserError

# What reading a damaged or foreign file raises, by file and by how much of it is left.
UNREADABLE = (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.OutOfRangeError,
    tf.errors.FailedPreconditionError,
)


def latest(model_dir):
    """Returns the newest checkpoint's path, or None if `model_dir` holds none.

    Raises:
      UserError: if the folder names a newest checkpoint whose files are gone.
    """
    state = tf.train.get_checkpoint_state(str(model_dir))
    if state is None or not state.model_checkpoint_path:
        return None
    if not tf.train.checkpoint_exists(state.model_checkpoint_path):
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
    """Returns the value of the variable `name` in the checkpoint at `path` as a NumPy array."""
    return tf.train.load_checkpoint(path).get_tensor(name)


def check(path, variables):
    """Checks that a checkpoint is readable and holds what the graph will ask of it.

    Args:
      path: the checkpoint's prefix.
      variables: the graph's variables.

    Raises:
      UserError: if it is damaged, or belongs to another model.
    """
    try:
        stored = tf.train.load_checkpoint(path).get_variable_to_shape_map()
    except (*UNREADABLE, ValueError) as error:
        raise unreadable(path, error) from error
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


def unreadable(path, error):
    """Returns the `UserError` for a checkpoint that could not be read because of `error`."""
    reason = str(error).splitlines()[0]
    return UserError(
        f"The checkpoint {path} is damaged ({reason}); delete it and name an older one in the "
        "file `checkpoint` beside it."
    )
