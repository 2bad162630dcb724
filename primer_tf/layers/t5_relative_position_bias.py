"""T5's bucketed relative position bias."""

import math

import keras
from keras import ops

from primer_tf.layers.layer import Layer
from primer_tf.layers.shape_checks import check_positive


@keras.saving.register_keras_serializable(package="primer_tf")
class T5RelativePositionBias(Layer):
    """A learned bias per head and distance bucket, added to the attention scores.

    Distances `d = query position - key position` below half the buckets have a bucket each; longer
    ones share buckets that widen logarithmically up to `max_distance`; keys in the future share
    bucket 0, which a causal mask hides. Source: `_relative_position_bucket`, unidirectional, in
    `mesh_tensorflow.transformer.transformer_layers`.

    One instance serves all layers of a decoder ("bias_shared").

    Args:
        num_heads: Number of attention heads, `H`.
        num_buckets: Number of distance buckets.
        max_distance: Distance from which on all keys share the last bucket.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        query_length: Number of queries, `T`.
        key_length: Number of keys, `S`; they stand at positions `0 .. S - 1`.
        offset: Position of the first query.

    Returns:
        `[H, T, S]`.

    Example:

    >>> T5RelativePositionBias(num_heads=8)(query_length=512, key_length=512).shape
    """

    def __init__(self, num_heads, num_buckets=32, max_distance=128, **kwargs):
        super().__init__(**kwargs)
        check_positive(self, "num_heads", num_heads)
        check_positive(self, "num_buckets", num_buckets)
        check_positive(self, "max_distance", max_distance)
        if max_distance <= num_buckets // 2:
            raise ValueError(
                f"T5RelativePositionBias needs `max_distance` above num_buckets / 2 = "
                f"{num_buckets // 2}; received {max_distance}."
            )
        self.num_heads = num_heads
        self.num_buckets = num_buckets
        self.max_distance = max_distance

    def build(self, input_shape=None):
        """Creates the table of biases."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.num_heads, self.num_buckets),
            initializer="glorot_uniform",
        )

    def bucket(self, distance):
        """Returns the bucket of each distance, both integer tensors of one shape."""
        exact = self.num_buckets // 2
        distance = ops.maximum(distance, 0)
        ratio = ops.cast(ops.maximum(distance, exact), "float32") / exact
        scale = (self.num_buckets - exact) / math.log(self.max_distance / exact)
        wide = exact + ops.cast(ops.log(ratio) * scale, "int32")
        wide = ops.minimum(wide, self.num_buckets - 1)
        return ops.where(ops.less(distance, exact), distance, wide)

    def by_distance(self):
        """Returns the biases of the distances `0 .. max_distance`, `[H, max_distance + 1]`.

        Longer distances have the last one. `skew_distances` turns them into a matrix.
        """
        distances = ops.arange(self.max_distance + 1, dtype="int32")
        one_hot = ops.one_hot(self.bucket(distances), self.num_buckets, dtype=self.compute_dtype)
        table = ops.cast(self.embeddings, self.compute_dtype)
        return ops.matmul(table, ops.transpose(one_hot))

    def call(self, query_length, key_length, offset=0):
        """Returns the biases of all queries against all keys."""
        return skew_distances(self.by_distance(), query_length, key_length, offset)

    def compute_output_spec(self, query_length, key_length, offset=0):
        """Returns the spec of `[H, T, S]`."""
        return keras.KerasTensor(
            (self.num_heads, query_length, key_length), dtype=self.compute_dtype
        )

    def get_config(self):
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "num_buckets": self.num_buckets,
            "max_distance": self.max_distance,
        }


def skew_distances(distance_bias, query_length, key_length, offset=0):
    """Lays biases by distance out as a matrix of queries against keys.

    Args:
        distance_bias: `[H, R]`; distances from `R` on have the last bias, keys in the future the
            first.
        query_length: Number of queries, `T`.
        key_length: Number of keys, `S`; they stand at positions `0 .. S - 1`.
        offset: Position of the first query.

    Returns:
        `[H, T, S]`.
    """
    if isinstance(query_length, int) and query_length == 1:
        distances = offset - ops.arange(key_length, dtype="int32")
        distances = ops.clip(distances, 0, distance_bias.shape[1] - 1)
        return ops.take(distance_bias, distances, axis=1)[:, None]
    # All distances once, from the largest to the smallest: row t is the window of S of them that
    # starts at T - 1 - t. Repeating rows that are one longer than the rows they are cut into shifts
    # each by one: no gather of a matrix, hence no scatter in the gradient.
    (heads, num_distances), count = distance_bias.shape, query_length + key_length - 1
    one_hot = _one_hot(offset + query_length, count, num_distances, distance_bias.dtype)
    window = ops.matmul(distance_bias, ops.transpose(one_hot))
    # With a power of two the compiler, which computes each bias again wherever it is used, has no
    # divisions to do.
    period = 2 ** count.bit_length() if isinstance(count, int) else count + 1
    padded = ops.pad(window, ((0, 0), (0, period - count)))
    repeated = ops.tile(padded, (1, query_length))[:, : query_length * (period - 1)]
    rows = ops.reshape(repeated, (heads, query_length, period - 1))
    return rows[:, :, query_length - 1 : count]


def unskew_distances(matrix, offset, num_distances):
    """Sums a matrix over queries and keys of the same distance: `skew_distances` transposed.

    Args:
        matrix: `[H, T, S]`.
        offset: Position of the first query.
        num_distances: `R`.

    Returns:
        `[H, R]`.
    """
    heads, query_length, key_length = ops.shape(matrix)
    count = query_length + key_length - 1
    padded = ops.pad(matrix, ((0, 0), (0, 0), (query_length - 1, 0)))
    repeated = ops.reshape(padded, (heads, query_length * count))
    repeated = ops.pad(repeated, ((0, 0), (0, query_length)))
    window = ops.sum(ops.reshape(repeated, (heads, query_length, count + 1)), axis=1)[:, :count]
    return ops.matmul(window, _one_hot(offset + query_length, count, num_distances, matrix.dtype))


def _one_hot(stop, count, num_distances, dtype):
    """Returns the distances `stop - 1, stop - 2, ...`, cut to those there are, `[count, R]`."""
    distances = ops.clip(stop - 1 - ops.arange(count, dtype="int32"), 0, num_distances - 1)
    return ops.one_hot(distances, num_distances, dtype=dtype)
