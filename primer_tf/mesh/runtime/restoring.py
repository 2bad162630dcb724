"""Restoring checkpoints, also those whose numbers are narrower than the variables'.

Mesh TensorFlow saves bfloat16 unless gin binds `get_variable_dtype.master_dtype`, as our gin files
do to float32; TensorFlow's own `Saver` restores neither into the other.
"""

import sys

import tensorflow.compat.v1 as tf

from primer_tf.mesh.runtime import checkpoints


def scaffold_to_restore(path, scaffold=None):
    """Returns a scaffold whose saver restores the checkpoint at `path` into the graph's variables.

    Args:
      path: the checkpoint's prefix.
      scaffold: a `tf.train.Scaffold` to take everything else from; a new one if None.

    Raises:
      UserError: see `checkpoints.check`.
    """
    scaffold = scaffold or tf.train.Scaffold()
    savers = tf.get_collection(tf.GraphKeys.SAVERS)
    saver = saver_to_restore(path, scaffold.saver or (savers[0] if savers else None))
    return tf.train.Scaffold(saver=saver, copy_from_scaffold=scaffold) if saver else scaffold


def saver_to_restore(path, saver=None):
    """Returns what restores the checkpoint at `path` into the graph's variables.

    Args:
      path: the checkpoint's prefix.
      saver: the graph's `tf.train.Saver`, if it has one.

    Returns:
      `saver` if its variables are what the checkpoint holds, else a `WideningSaver`.
    """
    variables = tf.global_variables()
    narrower = checkpoints.check(path, variables)
    if not narrower:
        return saver
    kinds = ", ".join(sorted({dtype.name for dtype in narrower.values()}))
    print(f"{path} holds {kinds}; this run goes on in wider floats", file=sys.stderr)
    return WideningSaver(variables, narrower, saver)


class WideningSaver:
    """Restores variables from a checkpoint that holds some of them as narrower floats.

    Args:
      variables: the variables.
      narrower: a dictionary from the names of these to the dtypes in the checkpoint.
      saver: the `tf.train.Saver` that saves the variables, if they are to be saved.
    """

    def __init__(self, variables, narrower, saver=None):
        self._saver = saver
        self._path = tf.placeholder(tf.string, [])
        self._restore = tf.group(
            [
                variable.assign(self._read(variable, narrower.get(variable.op.name)))
                for variable in variables
            ]
        )

    def _read(self, variable, stored):
        (value,) = tf.raw_ops.RestoreV2(
            prefix=self._path,
            tensor_names=[variable.op.name],
            shape_and_slices=[""],
            dtypes=[stored or variable.dtype.base_dtype],
        )
        return tf.cast(tf.reshape(value, variable.shape), variable.dtype.base_dtype)

    def build(self):
        """Does nothing: the operations are there."""

    def restore(self, session, path):
        """Restores the variables of a session."""
        session.run(self._restore, {self._path: path})

    def recover_last_checkpoints(self, paths):
        """Tells the saver which checkpoints are there already, to be deleted when they are old."""
        if self._saver is not None:
            self._saver.recover_last_checkpoints(paths)
