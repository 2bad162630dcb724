"""Causal multi-head self-attention as in T5."""

import keras
from keras import ops

from primer_tf.layers.causal_attention import MASKED, causal_attention, visible
from primer_tf.layers.decoder_layer import PositionMixingLayer
from primer_tf.layers.dense import Dense, join_kernels
from primer_tf.layers.precision import at_least_float32
from primer_tf.layers.shape_checks import check_positive, check_rank
from primer_tf.layers.t5_relative_position_bias import skew_distances


@keras.saving.register_keras_serializable(package="primer_tf")
class CausalSelfAttention(PositionMixingLayer):
    """Multi-head self-attention to the present and earlier positions (T5's `SelfAttention`).

    Scores are `Q K^T` plus the position bias, with no `1 / sqrt(D)`: as in T5 the scale is part of
    the initial values of the query projection. No biases anywhere. With `shared_query_key` (full
    Primer) queries are projected from the keys: `K = x W`, `Q = K Wr`.

    Variants override `build_streams` and `transform_streams`, which see the projections before
    they meet, or `score_bias`.

    Args:
        num_heads: Number of heads, `H`.
        head_dim: Channels of a head, `D`. Default: the channels of `x` divided by `num_heads`.
        shared_query_key: Whether queries are projected from the keys.
        dropout: Rate of dropout on the attention weights.
        initializer_scale: Variance times fan in of the initial kernel from keys to queries, with
            `shared_query_key`. Those of the other projections are given by T5.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        position_bias: `[H, R]` or `[H, T, S]`; see `PositionMixingLayer`. Optional.
        padding_mask: `[B, T]`, true at real tokens; the others are treated as zeros and never
            attended to. Optional.
        segment_ids, cache, cache_update_index, context: See `PositionMixingLayer`.

    Returns:
        `[B, T, C]`, and with a cache also the updated cache.

    Raises:
        ValueError: `head_dim` is not given and `num_heads` does not divide the channels; a size
            below 1; `x` of the wrong rank.

    Example:

    >>> CausalSelfAttention(num_heads=8)(keras.random.normal((2, 5, 512))).shape
    """

    def __init__(
        self,
        num_heads,
        head_dim=None,
        shared_query_key=False,
        dropout=0.0,
        initializer_scale=1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, "num_heads", num_heads)
        if head_dim is not None:
            check_positive(self, "head_dim", head_dim)
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.shared_query_key = shared_query_key
        self.dropout = dropout
        self.initializer_scale = initializer_scale

    def build(self, input_shape):
        """Creates the projections for `C` channels."""
        check_rank(self, "x", input_shape, 3, "[batch, time, channels]")
        hidden_dim = input_shape[-1]
        if self.head_dim is None and hidden_dim % self.num_heads:
            raise ValueError(
                f"{type(self).__name__} cannot split {hidden_dim} channels into "
                f"{self.num_heads} heads; give `head_dim` or a `num_heads` that divides them."
            )
        self._head_dim = self.head_dim or hidden_dim // self.num_heads
        inner_dim = self.num_heads * self._head_dim
        inner_shape = (*input_shape[:-1], inner_dim)
        normal = keras.initializers.RandomNormal
        stddevs = {"query": (hidden_dim * self._head_dim) ** -0.5, "key": hidden_dim**-0.5}
        if self.shared_query_key:
            stddevs = {"query_key": stddevs["query"]}
        stddevs["value"] = hidden_dim**-0.5
        self.projections = {
            name: self._dense(name, input_shape, inner_dim, normal(stddev=stddev))
            for name, stddev in stddevs.items()
        }
        if self.shared_query_key:
            stddev = (self.initializer_scale / inner_dim) ** 0.5
            self.query_dense = self._dense(
                "query", inner_shape, inner_dim, keras.initializers.TruncatedNormal(stddev=stddev)
            )
        self.build_streams(inner_shape)
        self.output_dense = self._dense(
            "attention_output", inner_shape, hidden_dim, normal(stddev=inner_dim**-0.5)
        )
        self.dropout_layer = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)

    def _dense(self, name, input_shape, units, initializer):
        layer = Dense(
            units,
            use_bias=False,
            kernel_initializer=initializer,
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build(input_shape)
        return layer

    def build_streams(self, input_shape):
        """Creates what a variant applies to the projections, `[B, T, H * D]`."""

    def build_cache(self, batch_size, max_length):
        """Returns an empty cache for `max_length` positions: keys and values, `[B, S, H * D]`."""
        shape = (batch_size, max_length, self.num_heads * self._head_dim)
        return {name: ops.zeros(shape, dtype=self.compute_dtype) for name in ("key", "value")}

    def decoding_weights(self):
        """Returns what projects a single position faster.

        A single position waits for memory, not for arithmetic, and one long read is faster than
        several short ones: the kernels of the projections are joined side by side.
        """
        layers = {"output": self.output_dense}
        if self.shared_query_key:
            layers["query"] = self.query_dense
        joined = join_kernels(self.projections.values(), self.compute_dtype)
        if joined is None:
            layers.update(self.projections)
        weights = {name: layer.decoding_weights() for name, layer in layers.items()}
        return weights if joined is None else {**weights, "joined": joined}

    def mix(self, x, context, training=None):
        """Attends from every position of `x` to itself and to earlier ones."""
        if context.padding_mask is not None:
            # A convolution must see nothing of a padding token on its left.
            x = x * ops.cast(context.padding_mask, x.dtype)[:, :, None]
        weights = context.decoding_weights or {}
        streams, cache = self.transform_streams(self._project(x, weights), context)
        if self.shared_query_key:
            key = streams["query_key"]
            query = self.query_dense.project(key, weights.get("query"))
        else:
            query, key = streams["query"], streams["key"]
        keys, values = key, streams["value"]
        if cache is not None:
            start = (0, context.cache_update_index, 0)
            cache["key"] = keys = ops.slice_update(cache["key"], start, keys)
            cache["value"] = values = ops.slice_update(cache["value"], start, values)
        outputs = self._attend(query, keys, values, context, training)
        return self.output_dense.project(outputs, weights.get("output")), cache

    def _project(self, x, weights):
        if "joined" not in weights or x.shape[1] != 1:
            return {n: dense.project(x, weights.get(n)) for n, dense in self.projections.items()}
        joined = ops.matmul(ops.cast(x, self.compute_dtype), weights["joined"])
        streams = ops.split(joined, len(self.projections), axis=-1)
        return dict(zip(self.projections, streams, strict=True))

    def transform_streams(self, streams, context):
        """Returns what attention works on, and a new cache to be filled.

        Args:
            streams: Dict of the projections, `[B, T, H * D]`.
            context: A `DecoderContext`.

        Returns:
            `(streams, cache)`; the cache is `None` where there is none.
        """
        return streams, None if context.cache is None else dict(context.cache)

    def score_bias(self, context, query_length, key_length):
        """Returns what is added to the scores: `[H, R]`, `[H, T, S]` or `None`."""
        return context.position_biases.get(self.num_heads)

    def _attend(self, query, keys, values, context, training):
        """Returns the attention-weighted values, `[B, T, H * D]`."""
        query_length, key_length = ops.shape(query)[1], ops.shape(keys)[1]
        index, masks = context.cache_update_index, (context.padding_mask, context.segment_ids)
        bias = self.score_bias(context, query_length, key_length)
        is_matrix = bias is not None and len(bias.shape) == 3
        from_the_start = isinstance(index, int) and index == 0
        if from_the_start and not is_matrix and not (self.dropout and training):
            if context.cache is not None:
                keys, values = keys[:, :query_length], values[:, :query_length]
            query, keys, values = map(self._heads_first, (query, keys, values))
            outputs = causal_attention(query, keys, values, bias, *masks)
            return self._merge_heads(ops.transpose(outputs, (0, 2, 1, 3)))
        scores = self._scores(query, keys)
        if bias is not None:
            if not is_matrix:
                bias = skew_distances(bias, query_length, key_length, index)
            scores = scores + ops.cast(bias, scores.dtype)
        scores = ops.where(visible(query_length, key_length, index, *masks), scores, MASKED)
        weights = ops.cast(ops.softmax(scores, axis=-1), values.dtype)
        weights = self.dropout_layer(weights, training=training)
        if query.shape[1] == 1:
            weights = ops.transpose(weights, (0, 3, 1, 2))
            weighted = at_least_float32(weights) * at_least_float32(self._split_heads(values))
            outputs = ops.cast(ops.sum(weighted, axis=1, keepdims=True), values.dtype)
        else:
            outputs = ops.einsum("bhts,bshd->bthd", weights, self._split_heads(values))
        return self._merge_heads(outputs)

    def _scores(self, query, keys):
        """Returns the products of queries and keys, `[B, H, T, S]`."""
        if query.shape[1] == 1:
            # In decoding. For matrix products XLA would lay the cache out again at every step.
            products = self._split_heads(at_least_float32(query) * at_least_float32(keys))
            return ops.transpose(ops.sum(products, axis=-1), (0, 2, 1))[:, :, None]
        query, keys = map(self._split_heads, (query, keys))
        return at_least_float32(ops.einsum("bthd,bshd->bhts", query, keys))

    def _split_heads(self, x):
        """Returns `[B, T, H, D]`."""
        shape = ops.shape(x)
        return ops.reshape(x, (shape[0], shape[1], self.num_heads, self._head_dim))

    def _heads_first(self, x):
        """Returns `[B, H, T, D]`."""
        return ops.transpose(self._split_heads(x), (0, 2, 1, 3))

    def _merge_heads(self, x):
        """Returns `[B, T, H * D]`."""
        shape = ops.shape(x)
        return ops.reshape(x, (shape[0], shape[1], self.num_heads * self._head_dim))

    def get_config(self):
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "shared_query_key": self.shared_query_key,
            "dropout": self.dropout,
            "initializer_scale": self.initializer_scale,
        }
