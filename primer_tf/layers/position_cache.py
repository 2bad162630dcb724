"""Caches that are indexed by position, `[B, S, C]`.

The rows of a batch may be at one common position, or each at a position of its own.
"""

from collections.abc import Callable
from functools import partial

from keras import ops

from primer_tf.layers.xla import compiled_by_xla, in_plain_graph, in_xla_graph
from primer_tf.types import Tensor

# Up to here a shorter read of a cache would save little beside the reading of the weights.
SHORTEST_READ = 512


def is_per_row(index: int | Tensor) -> bool:
    """Returns whether `index` is `[B]`, a position for each row, and not one for all rows."""
    return len(getattr(index, "shape", ())) == 1


def add_positions(index: Tensor, length: int | Tensor) -> Tensor:
    """Returns the positions `index` to `index + length - 1`.

    Args:
        index: Position of the first token, an integer, a scalar tensor or `[B]`.
        length: Number of positions, `T`.

    Returns:
        `[B, T]` if `index` is `[B]`, else `[1, T]`.
    """
    steps = ops.arange(length, dtype="int32")[None]
    return (index[:, None] if is_per_row(index) else index) + steps


def write_cache(cache: Tensor, x: Tensor, index: int | Tensor) -> Tensor:
    """Writes values at successive positions.

    In a TensorFlow graph that XLA does not compile, values at positions of each row's own are
    written in place: `scatter_update` copies the cache there, which takes as long as a whole
    decoding step. The old cache must not be used after that. XLA writes one row after the other,
    which makes a whole step of one row a fifth faster than XLA's scatter.

    Args:
        cache: `[B, S, C]`.
        x: `[B, T, C]`.
        index: Position of the first value, an integer, a scalar tensor or `[B]`.

    Returns:
        The cache, `[B, S, C]`, with `x` at the positions `index` to `index + T - 1`.
    """
    x = ops.cast(x, cache.dtype)
    if isinstance(index, int):
        return ops.concatenate([cache[:, :index], x, cache[:, index + ops.shape(x)[1] :]], axis=1)
    if not is_per_row(index):
        return ops.slice_update(cache, (0, index, 0), x)
    if in_xla_graph():
        return _write_row_by_row(cache, x, index)
    rows, channels = _flat_rows(cache, index, ops.shape(x)[1]), cache.shape[-1]
    flat, x = ops.reshape(cache, (-1, channels)), ops.reshape(x, (-1, channels))
    if in_plain_graph():
        import tensorflow as tf

        flat = tf.raw_ops.InplaceUpdate(x=flat, i=ops.reshape(rows, (-1,)), v=x)
    else:
        flat = ops.scatter_update(flat, ops.reshape(rows, (-1, 1)), x)
    return ops.reshape(flat, (-1, ops.shape(cache)[1], channels))


def _write_row_by_row(cache: Tensor, x: Tensor, index: Tensor) -> Tensor:
    batch_size, length, channels = ops.shape(x)

    def write(row: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        values = ops.slice(x, (row, 0, 0), (1, length, channels))
        return row + 1, ops.slice_update(cache, (row, index[row], 0), values)

    first = ops.convert_to_tensor(0, dtype="int32")
    return ops.while_loop(lambda row, _: row < batch_size, write, (first, cache))[1]


def read_cache(cache: Tensor, index: int | Tensor, length: int) -> Tensor:
    """Reads the values at successive positions.

    Args:
        cache: `[B, S, C]`.
        index: Position of the first value, an integer, a scalar tensor or `[B]`.
        length: Number of positions, `T`.

    Returns:
        `[B, T, C]`.
    """
    if not is_per_row(index):
        return ops.slice(cache, (0, index, 0), (ops.shape(cache)[0], length, cache.shape[-1]))
    flat = ops.reshape(cache, (-1, cache.shape[-1]))
    return ops.take(flat, _flat_rows(cache, index, length), axis=0)


def _flat_rows(cache: Tensor, index: Tensor, length: int | Tensor) -> Tensor:
    """Returns the rows of `[B * S, C]` that hold successive positions, `[B, T]`."""
    batch_size, size = ops.shape(cache)[:2]
    starts = ops.arange(batch_size, dtype="int32") * size
    return starts[:, None] + add_positions(index, length)


def over_filled_part(
    function: Callable[[int | None], Tensor], end: int | Tensor, length: int | Tensor
) -> Tensor:
    """Calls a function for the part of a cache that is filled, rounded up to a power of two.

    XLA must know how much of a cache is read. It gets a branch for each of the lengths from
    `SHORTEST_READ` to that of the cache. Otherwise the time of a decoding step would grow with the
    cache's length, and not with what is in it.

    Args:
        function: A function of the number of positions to read, `None` for all. Positions from
            `end` on must not change its result.
        end: The position after the last one that is filled, an integer, a scalar tensor or `[B]`.
        length: Length of the cache, `S`.

    Returns:
        What the function returned.
    """
    if isinstance(end, int) or not isinstance(length, int) or not compiled_by_xla():
        return function(None)
    lengths = [length]
    while lengths[0] > SHORTEST_READ:
        below = 2 ** ((lengths[0] - 1).bit_length() - 1)  # the power of two below
        lengths.insert(0, max(below, SHORTEST_READ))
    shorter = lengths[:-1]
    if not shorter:
        return function(None)
    too_short = ops.less(ops.convert_to_tensor(shorter, dtype="int32"), ops.max(end))
    branch = ops.sum(ops.cast(too_short, "int32"))
    return ops.switch(branch, [partial(function, each) for each in (*shorter, None)])
