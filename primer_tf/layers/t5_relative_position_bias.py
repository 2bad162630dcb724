"""T5's bucketed relative position bias."""

import math
from typing import Any

import keras
from keras import ops

from primer_tf.layers.layer import Layer
from primer_tf.layers.position_cache import add_positions, is_per_row
from primer_tf.layers.shape_checks import check_positive
from primer_tf.types import Config, DType, Shape, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class T5RelativePositionBias(Layer):
    """A learned bias of the attention scores for each head and distance bucket.

    The distance is `d = query position - key position`. Distances below half the number of buckets
    have a bucket each. Longer ones share buckets that widen logarithmically up to `max_distance`.
    Keys in the future share bucket 0, which a causal mask hides. Source: the unidirectional
    `_relative_position_bucket` of `mesh_tensorflow.transformer.transformer_layers`.

    One instance serves all layers of a decoder ("bias_shared").

    Args:
        num_heads: Number of attention heads, `H`, at least 1.
        num_buckets: Number of distance buckets, at least 1. Defaults to 32.
        max_distance: Distance from which on all keys share the last bucket, above
            `num_buckets / 2`. Defaults to 128.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        query: `[B, T, ...]`, of which only the number of queries counts, or that number. A model
            trains the weights only if it is a tensor of the model or inside a layer's `call`.
        key: `[B, S, ...]`, or the number of keys, which have the positions 0 to `S - 1`. Defaults
            to `query`.
        offset: Position of the first query. Defaults to 0.

    Returns:
        `[H, T, S]`.

    Raises:
        ValueError: A size is below 1, or `max_distance` is too small.

    Example:

    >>> import keras
    >>> from primer_tf.layers import MultiDConvHeadAttention, T5RelativePositionBias
    >>> x = keras.Input((4, 8))
    >>> bias = T5RelativePositionBias(num_heads=2)(x)
    >>> bias.shape
    (2, 4, 4)
    >>> model = keras.Model(x, MultiDConvHeadAttention(num_heads=2)(x, position_bias=bias))
    """

    def __init__(
        self, num_heads: int, num_buckets: int = 32, max_distance: int = 128, **kwargs: Any
    ) -> None:
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

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates the table of biases."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.num_heads, self.num_buckets),
            initializer="glorot_uniform",
        )

    def bucket(self, distance: Tensor) -> Tensor:
        """Returns the bucket of each distance: integers of the same shape."""
        exact = self.num_buckets // 2
        distance = ops.maximum(distance, 0)
        ratio = ops.cast(ops.maximum(distance, exact), "float32") / exact
        scale = (self.num_buckets - exact) / math.log(self.max_distance / exact)
        wide = exact + ops.cast(ops.log(ratio) * scale, "int32")
        wide = ops.minimum(wide, self.num_buckets - 1)
        return ops.where(ops.less(distance, exact), distance, wide)

    def by_distance(self) -> Tensor:
        """Returns the biases of the distances 0 to `max_distance`, `[H, max_distance + 1]`.

        Longer distances have the last bias. `skew_distances` turns the biases into a matrix.
        """
        distances = ops.arange(self.max_distance + 1, dtype="int32")
        one_hot = ops.one_hot(self.bucket(distances), self.num_buckets, dtype=self.compute_dtype)
        table = ops.cast(self.embeddings, self.compute_dtype)
        return ops.matmul(table, ops.transpose(one_hot))

    def call(
        self, query: int | Tensor, key: int | Tensor | None = None, offset: int | Tensor = 0
    ) -> Tensor:
        """Returns the biases of all queries against all keys."""
        queries, keys = _length(query), _length(query if key is None else key)
        return skew_distances(self.by_distance(), queries, keys, offset)

    def compute_output_spec(
        self, query: int | Tensor, key: int | Tensor | None = None, offset: int | Tensor = 0
    ) -> keras.KerasTensor:
        """Returns the spec of `[H, T, S]`."""
        shape = (self.num_heads, _length(query), _length(query if key is None else key))
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        """Returns no mask: the biases belong to no sequence of the batch."""

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "num_buckets": self.num_buckets,
            "max_distance": self.max_distance,
        }


def _length(x: Any) -> Any:
    """Returns the number of positions of `[B, T, ...]`, and any other number as it is."""
    if len(getattr(x, "shape", ())) < 2:
        return x
    return x.shape[1] if isinstance(x, keras.KerasTensor) else ops.shape(x)[1]


def skew_distances(
    distance_bias: Tensor,
    query_length: int | Tensor,
    key_length: int | Tensor,
    offset: int | Tensor = 0,
) -> Tensor:
    """Turns biases by distance into a matrix of queries against keys.

    Args:
        distance_bias: `[H, R]`. Distances from `R` on have the last bias, keys in the future have
            the first.
        query_length: Number of queries, `T`.
        key_length: Number of keys, `S`, which have the positions 0 to `S - 1`.
        offset: Position of the first query, an integer, a scalar tensor or `[B]`. Defaults to 0.

    Returns:
        `[H, T, S]`, or `[B, H, T, S]` if `offset` is `[B]`.
    """
    if is_per_row(offset):
        keys = ops.arange(key_length, dtype="int32")
        distances = add_positions(offset, query_length)[..., None] - keys
        distances = ops.clip(distances, 0, distance_bias.shape[1] - 1)
        # Rows of the transposed table are read in one piece.
        return ops.transpose(
            ops.take(ops.transpose(distance_bias), distances, axis=0), (0, 3, 1, 2)
        )
    if isinstance(query_length, int) and query_length == 1:
        distances = offset - ops.arange(key_length, dtype="int32")
        distances = ops.clip(distances, 0, distance_bias.shape[1] - 1)
        return ops.take(distance_bias, distances, axis=1)[:, None]
    # With all distances in one row, from the largest to the smallest, row t of the matrix is the
    # window of S of them that starts at T - 1 - t. Repeating that row, and cutting the result into
    # rows that are shorter by one, shifts each by one. There is no gather of a matrix, and so no
    # scatter in the gradient.
    (heads, num_distances), count = distance_bias.shape, query_length + key_length - 1
    one_hot = _one_hot(offset + query_length, count, num_distances, distance_bias.dtype)
    window = ops.matmul(distance_bias, ops.transpose(one_hot))
    # The compiler computes each bias again wherever it is used; with a power of two this takes no
    # divisions.
    period = 2 ** count.bit_length() if isinstance(count, int) else count + 1
    padded = ops.pad(window, ((0, 0), (0, period - count)))
    repeated = ops.tile(padded, (1, query_length))[:, : query_length * (period - 1)]
    rows = ops.reshape(repeated, (heads, query_length, period - 1))
    return rows[:, :, query_length - 1 : count]


def unskew_distances(matrix: Tensor, offset: int | Tensor, num_distances: int) -> Tensor:
    """Sums a matrix over queries and keys of the same distance: the transpose of `skew_distances`.

    Args:
        matrix: `[H, T, S]`.
        offset: Position of the first query.
        num_distances: Number of distances, `R`.

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


def _one_hot(stop: int | Tensor, count: int | Tensor, num_distances: int, dtype: DType) -> Tensor:
    """Returns the distances `stop - 1, stop - 2, ...`, clipped to 0 and `R - 1`, `[count, R]`."""
    distances = ops.clip(stop - 1 - ops.arange(count, dtype="int32"), 0, num_distances - 1)
    return ops.one_hot(distances, num_distances, dtype=dtype)
