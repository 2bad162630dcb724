"""Causal multi-head self-attention as in T5."""

from typing import Any

import keras
from keras import ops

from primer_tf.layers.causal_attention import MASKED, causal_attention, visible
from primer_tf.layers.decoder_context import DecoderContext
from primer_tf.layers.decoder_layer import PositionMixingLayer
from primer_tf.layers.dense import Dense, join_kernels
from primer_tf.layers.position_cache import over_filled_part, write_cache
from primer_tf.layers.precision import at_least_float32
from primer_tf.layers.shape_checks import check_positive, check_rank
from primer_tf.layers.t5_relative_position_bias import skew_distances
from primer_tf.types import Cache, Config, Shape, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class CausalSelfAttention(PositionMixingLayer):
    """Multi-head self-attention to the present and earlier positions (T5's `SelfAttention`).

    Scores are `Q K^T` plus the position bias. They are not divided by `sqrt(D)`: as in T5, that
    scale is part of the initial values of the query projection. No projection has a bias. With
    `shared_query_key` (full Primer) queries are projected from the keys: `K = x W`, `Q = K Wr`.

    Variants override `build_streams` and `transform_streams`, which see the projections before
    they are combined, or `score_bias`.

    Args:
        num_heads: Number of heads, `H`, at least 1.
        head_dim: Channels of a head, `D`, at least 1. Defaults to the channels of `x` divided by
            `num_heads`.
        shared_query_key: Whether queries are projected from the keys. Defaults to `False`.
        dropout: Rate of dropout on the attention weights, from 0 to 1. Defaults to 0.
        initializer_scale: Variance, times the fan in, of the initial kernel from keys to queries
            that `shared_query_key` adds. Defaults to 1.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        position_bias: `[H, R]` or `[H, T, S]`, as in `PositionMixingLayer`. Defaults to no bias.
        padding_mask: `[B, T]`, true at real tokens. The others are taken for zeros and never
            attended to. Defaults to all real.
        segment_ids: `[B, T]` integers, as in `PositionMixingLayer`. Defaults to one segment.
        cache: The cache of earlier positions, as in `PositionMixingLayer`. Defaults to `None`.
        cache_update_index: Position of the first token of `x`, an integer, a scalar or `[B]`.
            Defaults to 0.
        context: A `DecoderContext`, in place of the arguments above. Defaults to `None`.

    Returns:
        `[B, T, C]`, and with a cache also the updated cache.

    Raises:
        ValueError: A size is below 1, `x` has the wrong rank, or `num_heads` does not divide the
            channels and `head_dim` is not given.

    Example:

    >>> import numpy as np
    >>> from primer_tf.layers import CausalSelfAttention
    >>> layer = CausalSelfAttention(num_heads=2)
    >>> tuple(layer(np.ones((2, 5, 8), "float32")).shape)
    (2, 5, 8)
    """

    num_heads: int

    def __init__(
        self,
        num_heads: int,
        head_dim: int | None = None,
        shared_query_key: bool = False,
        dropout: float = 0.0,
        initializer_scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(self, "num_heads", num_heads)
        if head_dim is not None:
            check_positive(self, "head_dim", head_dim)
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.shared_query_key = shared_query_key
        self.dropout = dropout
        self.initializer_scale = initializer_scale

    def build(self, input_shape: Shape) -> None:
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

    def _dense(
        self,
        name: str,
        input_shape: Shape,
        units: int,
        initializer: keras.initializers.Initializer,
    ) -> Dense:
        layer = Dense(
            units,
            use_bias=False,
            kernel_initializer=initializer,
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build(input_shape)
        return layer

    def build_streams(self, input_shape: Shape) -> None:
        """Creates what a variant applies to the projections, `[B, T, H * D]`."""

    def build_cache(self, batch_size: int | Tensor, max_length: int | Tensor) -> Cache:
        """Returns an empty cache for `max_length` positions: keys and values, `[B, S, H * D]`."""
        shape = (batch_size, max_length, self.num_heads * self._head_dim)
        return {name: ops.zeros(shape, dtype=self.compute_dtype) for name in ("key", "value")}

    def decoding_weights(self) -> dict[str, Tensor | None]:
        """Returns weights that project a single position faster.

        The time of a single position is that of reading the weights, and one long read is faster
        than several short ones. The kernels of the projections are therefore joined side by side.
        """
        layers = {"output": self.output_dense}
        if self.shared_query_key:
            layers["query"] = self.query_dense
        joined = join_kernels(self.projections.values(), self.compute_dtype)
        if joined is None:
            layers.update(self.projections)
        weights = {name: layer.decoding_weights() for name, layer in layers.items()}
        return weights if joined is None else {**weights, "joined": joined}

    def mix(
        self, x: Tensor, context: DecoderContext, training: bool | None = None
    ) -> tuple[Tensor, Cache]:
        """Attends from every position of `x` to itself and to earlier ones."""
        if context.padding_mask is not None:
            # A convolution must not see padding on its left.
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
            index = context.cache_update_index
            cache["key"] = keys = write_cache(cache["key"], keys, index)
            cache["value"] = values = write_cache(cache["value"], values, index)
        outputs = self._attend(query, keys, values, context, training)
        return self.output_dense.project(outputs, weights.get("output")), cache

    def _project(self, x: Tensor, weights: dict[str, Tensor | None]) -> dict[str, Tensor]:
        if "joined" not in weights or x.shape[1] != 1:
            return {n: dense.project(x, weights.get(n)) for n, dense in self.projections.items()}
        joined = ops.matmul(ops.cast(x, self.compute_dtype), weights["joined"])
        streams = ops.split(joined, len(self.projections), axis=-1)
        return dict(zip(self.projections, streams, strict=True))

    def transform_streams(
        self, streams: dict[str, Tensor], context: DecoderContext
    ) -> tuple[dict[str, Tensor], Cache]:
        """Transforms the projections, and copies the cache.

        Args:
            streams: The projections, `[B, T, H * D]`, by name.
            context: A `DecoderContext`.

        Returns:
            `(streams, cache)`: the inputs of attention by the same names, and a copy of the cache
            that keys and values can be written to, or `None` without a cache.
        """
        return streams, None if context.cache is None else dict(context.cache)

    def score_bias(
        self, context: DecoderContext, query_length: int | Tensor, key_length: int | Tensor
    ) -> Tensor | None:
        """Returns the bias of the scores: `[H, R]`, `[H, T, S]`, `[B, H, T, S]` or `None`."""
        return context.position_biases.get(self.num_heads)

    def _attend(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        context: DecoderContext,
        training: bool | None,
    ) -> Tensor:
        """Returns the attention-weighted values, `[B, T, H * D]`."""
        query_length, key_length = ops.shape(query)[1], ops.shape(keys)[1]
        index, masks = context.cache_update_index, (context.padding_mask, context.segment_ids)
        bias = self.score_bias(context, query_length, key_length)
        is_matrix = bias is not None and len(bias.shape) > 2
        from_the_start = isinstance(index, int) and index == 0
        if from_the_start and not is_matrix and not (self.dropout and training):
            if context.cache is not None:
                keys, values = keys[:, :query_length], values[:, :query_length]
            query, keys, values = map(self._heads_first, (query, keys, values))
            outputs = causal_attention(query, keys, values, bias, *masks)
            return self._merge_heads(ops.transpose(outputs, (0, 2, 1, 3)))

        def attend(length: int | None = None) -> Tensor:
            if length is None:
                return self._attend_at_once(query, keys, values, bias, context, training)
            part = self.score_bias(context, query_length, length)
            k, v = keys[:, :length], values[:, :length]
            return self._attend_at_once(query, k, v, part, context, training)

        if context.cache is None:
            return attend()
        return over_filled_part(attend, index + query_length, key_length)

    def _attend_at_once(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        bias: Tensor | None,
        context: DecoderContext,
        training: bool | None,
    ) -> Tensor:
        """Returns the attention-weighted values, `[B, T, H * D]`, from a matrix of all scores."""
        query_length, key_length = ops.shape(query)[1], ops.shape(keys)[1]
        index, masks = context.cache_update_index, (context.padding_mask, context.segment_ids)
        scores = self._scores(query, keys)
        if bias is not None:
            if len(bias.shape) == 2:
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

    def _scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """Returns the products of queries and keys, `[B, H, T, S]`."""
        if query.shape[1] == 1:
            # A decoding step. For matrix products XLA would transpose the cache at every step.
            products = self._split_heads(at_least_float32(query) * at_least_float32(keys))
            return ops.transpose(ops.sum(products, axis=-1), (0, 2, 1))[:, :, None]
        query, keys = map(self._split_heads, (query, keys))
        return at_least_float32(ops.einsum("bthd,bshd->bhts", query, keys))

    def _split_heads(self, x: Tensor) -> Tensor:
        """Returns `[B, T, H, D]`."""
        shape = ops.shape(x)
        return ops.reshape(x, (shape[0], shape[1], self.num_heads, self._head_dim))

    def _heads_first(self, x: Tensor) -> Tensor:
        """Returns `[B, H, T, D]`."""
        return ops.transpose(self._split_heads(x), (0, 2, 1, 3))

    def _merge_heads(self, x: Tensor) -> Tensor:
        """Returns `[B, T, H * D]`."""
        shape = ops.shape(x)
        return ops.reshape(x, (shape[0], shape[1], self.num_heads * self._head_dim))

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "shared_query_key": self.shared_query_key,
            "dropout": self.dropout,
            "initializer_scale": self.initializer_scale,
        }
