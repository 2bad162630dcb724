"""Sends tokens to experts and brings the results back."""

from keras import ops

from primer_tf.types import Tensor


def dispatch(tokens: Tensor, dispatch_index: Tensor, rows: int | Tensor) -> Tensor:
    """Returns the inputs of the experts, with zeros in rows that no token fills.

    Args:
        tokens: `[N, C]`.
        dispatch_index: `[N]` integers, the row of each token, or `rows` for a dropped token.
        rows: Number of rows, an integer or a scalar tensor.

    Returns:
        `[rows, C]`.
    """
    token = ops.arange(1, ops.shape(tokens)[0] + 1, dtype="int32")
    token_of_row = ops.scatter(dispatch_index[:, None], token, (rows + 1,))[:rows]
    return ops.take(ops.pad(tokens, ((1, 0), (0, 0))), token_of_row, axis=0)


def combine(outputs: Tensor, dispatch_index: Tensor) -> Tensor:
    """Returns the output of each token's expert, zeros for a dropped token.

    Args:
        outputs: `[..., C]`, the rows of `dispatch` on any number of leading axes.
        dispatch_index: `[N]` integers, as in `dispatch`.

    Returns:
        `[N, C]`.
    """
    outputs = ops.reshape(outputs, (-1, outputs.shape[-1]))
    return ops.take(ops.pad(outputs, ((0, 1), (0, 0))), dispatch_index, axis=0)


def smaller_size(a: int | Tensor, b: int | Tensor) -> int | Tensor:
    """Returns the smaller of two sizes, each an integer or a tensor."""
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else ops.minimum(a, b)
