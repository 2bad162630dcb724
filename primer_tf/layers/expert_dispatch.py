"""Sends tokens to experts and brings the results back."""

from keras import ops


def dispatch(tokens, dispatch_index, rows):
    """Returns the inputs of the experts; rows that no token fills are zeros.

    Args:
        tokens: `[N, C]`.
        dispatch_index: `[N]` integers, the row of each token; `rows` for one that goes nowhere.
        rows: Number of rows, an integer or a scalar tensor.

    Returns:
        `[rows, C]`.
    """
    token = ops.arange(1, ops.shape(tokens)[0] + 1, dtype="int32")
    token_of_row = ops.scatter(dispatch_index[:, None], token, (rows + 1,))[:rows]
    return ops.take(ops.pad(tokens, ((1, 0), (0, 0))), token_of_row, axis=0)


def combine(outputs, dispatch_index):
    """Returns for each token the output of its expert, zeros if it went to none.

    Args:
        outputs: `[..., C]`, whose leading axes together are the rows of `dispatch`.
        dispatch_index: `[N]` integers, as for `dispatch`.

    Returns:
        `[N, C]`.
    """
    outputs = ops.reshape(outputs, (-1, outputs.shape[-1]))
    return ops.take(ops.pad(outputs, ((0, 1), (0, 0))), dispatch_index, axis=0)


def smaller_size(a, b):
    """Returns the smaller of two sizes, each an integer or a tensor."""
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else ops.minimum(a, b)
