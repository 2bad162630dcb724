"""Causal attention without a matrix of all queries against all keys."""

from keras import ops

from primer_tf.layers.flash_attention import can_use_flash_attention, flash_attention
from primer_tf.layers.position_cache import add_positions
from primer_tf.layers.precision import at_least_float32
from primer_tf.layers.t5_relative_position_bias import skew_distances, unskew_distances
from primer_tf.types import Tensor

# Queries run in at most 8 blocks of at least 128. Scores of keys after a block's last query are
# never computed, and the scores and bias of only one block are held at a time.
QUERY_BLOCK = 128
MAX_QUERY_BLOCKS = 8

MASKED = -1e9


def causal_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    distance_bias: Tensor | None = None,
    padding_mask: Tensor | None = None,
    segment_ids: Tensor | None = None,
) -> Tensor:
    """Attends from every position to itself and to earlier ones.

    `softmax(Q K^T + bias) V`, one query block at a time. The gradient computes the weights of a
    block again from the log of the softmax's normalizer (Dao et al. 2022, section 3.1), so memory
    grows with `T`, not with `T^2`. The result can be differentiated once, in the first four
    arguments. Without masks, `flash_attention` does the same on GPUs where it can.

    Args:
        query: `[B, H, T, D]`.
        key: `[B, H, T, D]`.
        value: `[B, H, T, D]`.
        distance_bias: `[H, R]`, the bias of each distance from query to key. Distances from `R` on
            have the last bias. Defaults to no bias.
        padding_mask: `[B, T]`, true at keys that may be attended to. Defaults to all keys.
        segment_ids: `[B, T]` integers. Attention stays within a segment. Defaults to one segment.

    Returns:
        `[B, H, T, D]`.
    """
    if distance_bias is None:
        distance_bias = ops.zeros((query.shape[1], 1), dtype=query.dtype)
    if padding_mask is None and segment_ids is None and can_use_flash_attention(query):
        return flash_attention(query, key, value, distance_bias)
    blocks = _query_blocks(query)

    def scores(q: Tensor, k: Tensor, bias: Tensor, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Returns scores and mask of the queries `start .. stop - 1`, in float32."""
        x = at_least_float32(ops.einsum("bhtd,bhsd->bhts", q[:, :, start:stop], k[:, :, :stop]))
        x = x + ops.cast(skew_distances(bias, stop - start, stop, start), x.dtype)
        mask = visible(stop - start, stop, start, padding_mask, segment_ids)
        return ops.where(mask, x, MASKED), mask

    @ops.custom_gradient
    def attend(q, k, v, bias):
        outputs, normalizers = [], []
        for start, stop in blocks:
            x, _ = scores(q, k, bias, start, stop)
            largest = ops.max(x, axis=-1, keepdims=True)
            weights = ops.exp(x - largest)
            total = ops.sum(weights, axis=-1, keepdims=True)
            y = ops.einsum("bhts,bhsd->bhtd", ops.cast(weights, v.dtype), v[:, :, :stop])
            outputs.append(y / ops.cast(total, y.dtype))
            normalizers.append(ops.log(total) + largest)
        output = ops.concatenate(outputs, axis=2)
        # Only the garbage collector would free a result that its own gradient holds, on PyTorch.
        held = ops.stop_gradient(output)

        def gradients(*args, upstream=None):
            dy = args[0] if upstream is None else upstream
            # sum_s weights * d weights, which the softmax's gradient subtracts.
            shift = at_least_float32(ops.sum(dy * held, axis=-1, keepdims=True))
            dq, dk, dv = [], None, None
            d_bias = ops.zeros_like(bias)
            # Backwards, because the last block's keys are all keys.
            for (start, stop), normalizer in zip(blocks[::-1], normalizers[::-1], strict=True):
                x, mask = scores(q, k, bias, start, stop)
                weights = ops.exp(x - normalizer)
                d_block = dy[:, :, start:stop]
                dx = ops.einsum("bhtd,bhsd->bhts", d_block, v[:, :, :stop])
                dx = weights * (at_least_float32(dx) - shift[:, :, start:stop])
                dx = ops.where(mask, dx, 0.0)
                by_distance = unskew_distances(ops.sum(dx, axis=0), start, bias.shape[-1])
                d_bias = d_bias + ops.cast(by_distance, bias.dtype)
                dx = ops.cast(dx, q.dtype)
                dq.append(ops.einsum("bhts,bhsd->bhtd", dx, k[:, :, :stop]))
                # With the channels first, the products run along rows of the weights. In the
                # other order XLA's products are nearly three times as slow on CPUs.
                dk = _add_to_start(dk, ops.einsum("bhtd,bhts->bhds", q[:, :, start:stop], dx))
                weights = ops.cast(weights, v.dtype)
                dv = _add_to_start(dv, ops.einsum("bhtd,bhts->bhds", d_block, weights))
            return (
                ops.concatenate(dq[::-1], axis=2),
                ops.transpose(dk, (0, 1, 3, 2)),
                ops.transpose(dv, (0, 1, 3, 2)),
                d_bias,
            )

        return output, gradients

    return attend(query, key, value, distance_bias)


def visible(
    query_length: int | Tensor,
    key_length: int | Tensor,
    offset: int | Tensor = 0,
    padding_mask: Tensor | None = None,
    segment_ids: Tensor | None = None,
) -> Tensor:
    """Returns the keys that each query may attend to.

    Args:
        query_length: Number of queries, `T`.
        key_length: Number of keys, `S`, which have the positions 0 to `S - 1`.
        offset: Position of the first query, an integer, a scalar tensor or `[B]`. Defaults to 0.
        padding_mask: `[B, S or more]`, true at keys that may be attended to. Defaults to all keys.
        segment_ids: `[B, S or more]` integers. A query attends to its own segment only. Defaults to
            one segment.

    Returns:
        Booleans that broadcast to `[B, H, T, S]`.
    """
    queries = add_positions(offset, query_length)[..., None]
    mask = ops.less_equal(ops.arange(key_length, dtype="int32"), queries)[:, None]
    if padding_mask is not None:
        real = ops.cast(padding_mask[:, :key_length], "bool")
        mask = ops.logical_and(mask, real[:, None, None, :])
    if segment_ids is not None:
        own = segment_ids[:, offset : offset + query_length, None]
        same = ops.equal(own, segment_ids[:, None, :key_length])
        mask = ops.logical_and(mask, same[:, None])
    return mask


def _query_blocks(query: Tensor) -> list[tuple[int, int]]:
    """Returns the first position of each query block, and the one after its last."""
    length = query.shape[2]
    if length is None:
        return [(0, ops.shape(query)[2])]
    count = max(1, min(MAX_QUERY_BLOCKS, length // QUERY_BLOCK))
    size = -(-length // count)
    return [(start, min(start + size, length)) for start in range(0, length, size)]


def _add_to_start(total: Tensor | None, x: Tensor) -> Tensor:
    """Adds `[B, H, D, S]` to the first `S` keys of a total with more keys."""
    if total is None:
        return x
    missing = total.shape[-1] - x.shape[-1]
    return total + ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, missing)))
