"""Restores checkpoints, including those with narrower floats than the variables.

Mesh TensorFlow saves bfloat16 by default. Our gin files bind `get_variable_dtype.master_dtype` to
float32, and TensorFlow's own `Saver` cannot restore one into the other.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow.compat.v1 as tf

from primer_tf.mesh.runtime import checkpoints


def scaffold_to_restore(path: str, scaffold: tf.train.Scaffold | None = None) -> tf.train.Scaffold:
    """Returns a scaffold whose saver restores the checkpoint at `path` into the graph's variables.

    Args:
      path: The checkpoint's prefix.
      scaffold: The `tf.train.Scaffold` to copy everything else from, a new one by default.

    Raises:
      UserError: See `checkpoints.check`.
    """
    scaffold = scaffold or tf.train.Scaffold()
    savers = tf.get_collection(tf.GraphKeys.SAVERS)
    saver = saver_to_restore(path, scaffold.saver or (savers[0] if savers else None))
    return tf.train.Scaffold(saver=saver, copy_from_scaffold=scaffold) if saver else scaffold


def saver_to_restore(path: str, saver: tf.train.Saver | None = None) -> Any:
    """Returns a saver that restores the checkpoint at `path` into the graph's variables.

    Args:
      path: The checkpoint's prefix.
      saver: The graph's `tf.train.Saver`, or None.

    Returns:
      `saver` if the checkpoint has the dtypes of the variables, else a `WideningSaver`.
    """
    variables = tf.global_variables()
    narrower = checkpoints.check(path, variables)
    if not narrower:
        return saver
    kinds = ", ".join(sorted({dtype.name for dtype in narrower.values()}))
    print(f"{path} holds {kinds}; this run continues in wider floats", file=sys.stderr)
    return WideningSaver(variables, narrower, saver)


class WideningSaver:
    """Restores variables from a checkpoint that stores some of them as narrower floats.

    Args:
      variables: All variables to restore.
      narrower: A dictionary from name to stored dtype, for the variables stored as narrower floats.
      saver: The `tf.train.Saver` that saves the variables, or None if nothing saves them.
    """

    def __init__(
        self,
        variables: Sequence[tf.Variable],
        narrower: Mapping[str, tf.DType],
        saver: tf.train.Saver | None = None,
    ) -> None:
        self._saver = saver
        self._path = tf.placeholder(tf.string, [])
        self._restore = tf.group(
            [
                variable.assign(self._read(variable, narrower.get(variable.op.name)))
                for variable in variables
            ]
        )

    def _read(self, variable: tf.Variable, stored: tf.DType | None) -> tf.Tensor:
        (value,) = tf.raw_ops.RestoreV2(
            prefix=self._path,
            tensor_names=[variable.op.name],
            shape_and_slices=[""],
            dtypes=[stored or variable.dtype.base_dtype],
        )
        return tf.cast(tf.reshape(value, variable.shape), variable.dtype.base_dtype)

    def build(self) -> None:
        """Does nothing: the constructor adds the operations."""

    def restore(self, session: tf.Session, path: str) -> None:
        """Restores the variables of a session."""
        session.run(self._restore, {self._path: path})

    def recover_last_checkpoints(self, paths: Sequence[str]) -> None:
        """Tells the saver which checkpoints exist, so that it deletes them when they are old."""
        if self._saver is not None:
            self._saver.recover_last_checkpoints(paths)
