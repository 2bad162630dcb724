"""KerasHub's cache of keys and values, with the inputs of the convolutions beside them.

KerasHub's attention layers take a cache `[B, 2, S, H, D]`. Ours has further rows on its second
axis: the projected queries, keys and values before their convolutions. Queries of grouped attention
have `G` times the heads of keys, and take `G` rows. A batch axis, a position axis and the heads are
where KerasHub's models and samplers expect them, so their loops carry the cache unchanged.

Rows are indexed by position; `docs/contributing/decoding_cache.md` tells why.
"""

from keras import ops

from primer_tf.errors import UserError
from primer_tf.types import Tensor

KEY_AND_VALUE = 2  # KerasHub's own rows


def widen(cache: Tensor, groups: int) -> Tensor:
    """Returns a cache with rows for the convolutions.

    Args:
        cache: `[B, 2, S, H, D]`, an empty cache as KerasHub makes it, or a wide one, which is
            returned as it is.
        groups: Number of query heads for each head of keys, `G`.

    Returns:
        `[B, 4 + G, S, H, D]`.

    Raises:
        UserError: The cache has another number of rows.
    """
    batch, rows, length, heads, head_dim = ops.shape(cache)
    width = KEY_AND_VALUE + groups + 2
    if rows == width:
        return cache
    if rows != KEY_AND_VALUE:
        raise UserError(
            f"The cache has {rows} rows on its second axis; pass an empty one with "
            f"{KEY_AND_VALUE}, or the one that the last call returned, with {width}."
        )
    empty = ops.zeros((batch, groups + 2, length, heads, head_dim), dtype=cache.dtype)
    return ops.concatenate([cache, empty], axis=1)


def read_before(cache: Tensor, index: int | Tensor, count: int) -> dict[str, Tensor]:
    """Returns the inputs of the convolutions at the positions just before `index`.

    Args:
        cache: `[B, 4 + G, S, H, D]`.
        index: A position, an integer or a scalar tensor.
        count: Number of positions; those before the first one give zeros.

    Returns:
        `[B, count, G * H * D]` for `"query"`, and `[B, count, H * D]` for `"key"` and `"value"`.
    """
    positions = ops.arange(-count, 0, dtype="int32") + ops.cast(index, "int32")
    rows = ops.take(cache[:, KEY_AND_VALUE:], ops.maximum(positions, 0), axis=2)
    rows = ops.where(ops.reshape(positions >= 0, (1, 1, -1, 1, 1)), rows, ops.zeros_like(rows))
    parts = {"query": rows[:, :-2], "key": rows[:, -2:-1], "value": rows[:, -1:]}
    return {role: _unpack(part) for role, part in parts.items()}


def write(
    cache: Tensor, key_and_value: Tensor, inputs: dict[str, Tensor], index: int | Tensor
) -> Tensor:
    """Returns a cache with new keys and values, and with the inputs of their convolutions.

    Args:
        cache: `[B, 4 + G, S, H, D]`.
        key_and_value: `[B, 2, S, H, D]`, updated.
        inputs: `[B, T, G * H, D]` for `"query"`, and `[B, T, H, D]` for `"key"` and `"value"`, at
            the positions from `index` on.
        index: Position of the first input, an integer or a scalar tensor.
    """
    heads = cache.shape[3]
    packed = [_pack(inputs[role], heads) for role in ("query", "key", "value")]
    new = ops.cast(ops.concatenate(packed, axis=1), cache.dtype)
    before = ops.slice_update(cache[:, KEY_AND_VALUE:], (0, 0, index, 0, 0), new)
    return ops.concatenate([key_and_value, before], axis=1)


def _pack(x: Tensor, heads: int) -> Tensor:
    """From `[B, T, G * heads, D]` to `[B, G, T, heads, D]`."""
    batch, length, all_heads, head_dim = ops.shape(x)
    x = ops.reshape(x, (batch, length, all_heads // heads, heads, head_dim))
    return ops.transpose(x, (0, 2, 1, 3, 4))


def _unpack(rows: Tensor) -> Tensor:
    """From `[B, G, T, heads, D]` to `[B, T, G * heads * D]`."""
    batch, groups, length, heads, head_dim = ops.shape(rows)
    rows = ops.transpose(rows, (0, 2, 1, 3, 4))
    return ops.reshape(rows, (batch, length, groups * heads * head_dim))
