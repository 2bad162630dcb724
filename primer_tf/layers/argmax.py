"""The place of the largest number."""

from keras import ops

from primer_tf.layers.xla import compiled_by_xla
from primer_tf.types import Tensor


def argmax(x: Tensor) -> Tensor:
    """Returns the index of the largest number along the last axis; of equals, the first.

    XLA finds a largest number and its index together one number after the other, but vectorizes the
    search for either alone.

    Args:
        x: `[..., N]`.

    Returns:
        `[...]` int32.
    """
    if not compiled_by_xla():
        return ops.cast(ops.argmax(x, axis=-1), "int32")
    size = x.shape[-1]
    is_largest = ops.equal(x, ops.max(x, axis=-1, keepdims=True))
    indices = ops.where(is_largest, ops.arange(size, dtype="int32"), size - 1)
    return ops.min(indices, axis=-1)
