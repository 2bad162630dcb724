"""Causal self-attention with depthwise convolutions after its projections."""

import contextlib

import keras
from keras import ops

from primer_tf.layers.causal_attention import MASKED, causal_attention, visible
from primer_tf.layers.causal_depthwise_conv_1d import CausalDepthwiseConv1D, extend_history
from primer_tf.layers.dense import Dense
from primer_tf.layers.layer import Layer
from primer_tf.layers.precision import at_least_float32
from primer_tf.layers.shape_checks import check_positive, check_rank
from primer_tf.layers.t5_relative_position_bias import expand_distances


@keras.saving.register_keras_serializable(package="primer_tf")
class MultiDConvHeadAttention(Layer):
    """Multi-DConv-Head Attention (Primer, section 4.1), or plain T5 attention without a kernel.

    `Q`, `K` and `V` are projections of `x`, each followed by a causal depthwise convolution over
    the positions. With `shared_query_key` (full Primer) there is one projection `r`: `K = r` and
    `Q = r Wr`. Scores are `Q K^T` plus the position bias, with no `1 / sqrt(D)`: as in T5 the
    scale sits in the initial values of the query projection. No biases anywhere.

    Args:
        num_heads: Number of heads, `H`.
        head_dim: Channels of a head, `D`. Default: the channels of `x` divided by `num_heads`.
        kernel_size: Width of the convolutions; `None` for attention without them.
        shared_query_key: Whether queries are projected from the keys.
        dropout: Rate of dropout on the attention weights.
        initializer_scale: Variance times fan in of the initial kernel from keys to queries, with
            `shared_query_key`. That of the other projections is given by T5.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        position_bias: Added to the scores: `[H, R]`, a bias for each distance from query to key,
            longer distances having the last one; or a whole matrix `[H, T, S]`, which costs more
            time and memory. Optional.
        padding_mask: `[B, T]`, true at real tokens; the others are treated as zeros and never
            attended to. Optional, and not for use with `cache`.
        segment_ids: `[B, T]` integers; attention and convolution stay inside a segment. Optional,
            and not for use with `cache`.
        cache: What `build_cache` or an earlier call returned. `x` then stands at positions
            `cache_update_index .. cache_update_index + T - 1`.
        cache_update_index: Integer or scalar tensor.

    Returns:
        `[B, T, C]`, and with `cache` also the updated cache.

    Raises:
        ValueError: `head_dim` is not given and `num_heads` does not divide the channels; a size
            below 1; `x` of the wrong rank.

    Example:

    >>> MultiDConvHeadAttention(num_heads=8)(keras.random.normal((2, 5, 512))).shape
    """

    def __init__(
        self,
        num_heads,
        head_dim=None,
        kernel_size=3,
        shared_query_key=False,
        dropout=0.0,
        initializer_scale=1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, "num_heads", num_heads)
        if head_dim is not None:
            check_positive(self, "head_dim", head_dim)
        if kernel_size is not None:
            check_positive(self, "kernel_size", kernel_size)
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.kernel_size = kernel_size
        self.shared_query_key = shared_query_key
        self.dropout = dropout
        self.initializer_scale = initializer_scale
        self._joined_kernels = None

    def build(self, input_shape):
        """Creates the projections and convolutions for `C` channels."""
        check_rank(self, "x", input_shape, 3, "[batch, time, channels]")
        hidden_dim = input_shape[-1]
        if self.head_dim is None and hidden_dim % self.num_heads:
            raise ValueError(
                f"MultiDConvHeadAttention cannot split {hidden_dim} channels into "
                f"{self.num_heads} heads; give `head_dim` or a `num_heads` that divides them."
            )
        self._head_dim = self.head_dim or hidden_dim // self.num_heads
        inner_dim = self.num_heads * self._head_dim

        def dense(name, shape, units, initializer):
            layer = Dense(
                units,
                use_bias=False,
                kernel_initializer=initializer,
                dtype=self.dtype_policy,
                name=name,
            )
            layer.build(shape)
            return layer

        normal = keras.initializers.RandomNormal
        inner_shape = (*input_shape[:-1], inner_dim)
        query_stddev = (hidden_dim * self._head_dim) ** -0.5
        stddevs = {"query_key" if self.shared_query_key else "query": query_stddev}
        if not self.shared_query_key:
            stddevs["key"] = hidden_dim**-0.5
        stddevs["value"] = hidden_dim**-0.5
        self.projections = {
            name: dense(name, input_shape, inner_dim, normal(stddev=stddev))
            for name, stddev in stddevs.items()
        }
        if self.shared_query_key:
            self.query_dense = dense(
                "query",
                inner_shape,
                inner_dim,
                keras.initializers.TruncatedNormal(
                    stddev=(self.initializer_scale / inner_dim) ** 0.5
                ),
            )
        self.convolutions = {}
        if self.kernel_size is not None:
            for name in self.projections:
                conv = CausalDepthwiseConv1D(
                    self.kernel_size, dtype=self.dtype_policy, name=f"{name}_conv"
                )
                conv.build(inner_shape)
                self.convolutions[name] = conv
        self.output_dense = dense(
            "attention_output", inner_shape, hidden_dim, normal(stddev=inner_dim**-0.5)
        )
        self.dropout_layer = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)

    def build_cache(self, batch_size, max_length):
        """Returns an empty cache for `max_length` positions.

        Keys and values, `[B, S, H * D]`, are kept after the convolution. What goes into the
        convolutions is kept too, indexed by position (shifted by `kernel_size - 1`, so that what
        lies before the first position is there, as zeros): decoding may then go on from any
        position already seen.
        """
        inner_dim = self.num_heads * self._head_dim
        shape = (batch_size, max_length, inner_dim)
        cache = {name: ops.zeros(shape, dtype=self.compute_dtype) for name in ("key", "value")}
        if self.convolutions:
            history_shape = (batch_size, max_length + self.kernel_size - 1, inner_dim)
            cache["history"] = {
                name: ops.zeros(history_shape, dtype=self.compute_dtype)
                for name in self.convolutions
            }
        return cache

    def call(
        self,
        x,
        position_bias=None,
        padding_mask=None,
        segment_ids=None,
        cache=None,
        cache_update_index=0,
        training=None,
    ):
        """Attends from every position of `x` to itself and to earlier ones."""
        check_rank(self, "x", x.shape, 3, "[batch, time, channels]")
        if padding_mask is not None:
            # A convolution must see nothing of a padding token on its left.
            x = x * ops.cast(padding_mask, x.dtype)[:, :, None]
        streams = self._project(x)
        if cache is None:
            streams = {
                name: self._convolve(name, stream, segment_ids=segment_ids)
                for name, stream in streams.items()
            }
        else:
            streams, cache = self._convolve_with_cache(streams, cache, cache_update_index)
        if self.shared_query_key:
            key = streams["query_key"]
            query = self.query_dense(key)
        else:
            query, key = streams["query"], streams["key"]
        value = streams["value"]
        keys, values = key, value
        if cache is not None:
            start = (0, cache_update_index, 0)
            cache["key"] = keys = ops.slice_update(cache["key"], start, key)
            cache["value"] = values = ops.slice_update(cache["value"], start, value)
        is_matrix = position_bias is not None and len(position_bias.shape) == 3
        from_the_start = isinstance(cache_update_index, int) and cache_update_index == 0
        if is_matrix or not from_the_start or (self.dropout and training):
            query_length, key_length = ops.shape(query)[1], ops.shape(keys)[1]
            if position_bias is not None and not is_matrix:
                position_bias = expand_distances(
                    position_bias, query_length, key_length, cache_update_index
                )
            mask = visible(query_length, key_length, cache_update_index, padding_mask, segment_ids)
            outputs = self._attend(query, keys, values, position_bias, mask, training)
        else:
            query, key, value = map(self._heads_first, (query, key, value))
            outputs = causal_attention(query, key, value, position_bias, padding_mask, segment_ids)
            outputs = self._merge_heads(ops.transpose(outputs, (0, 2, 1, 3)))
        outputs = self.output_dense(outputs)
        return outputs if cache is None else (outputs, cache)

    @contextlib.contextmanager
    def laid_out_for_decoding(self):
        """Inside, one product with all projections' kernels side by side projects a position.

        Single positions wait for memory, not for arithmetic, and a few long reads are faster than
        many short ones. The kernels are joined on entry: enter it outside of a decoding loop.
        """
        denses = self.projections.values()
        if all(dense.quantization_mode is None for dense in denses):
            kernels = [ops.cast(dense.kernel, self.compute_dtype) for dense in denses]
            self._joined_kernels = ops.concatenate(kernels, axis=-1)
        try:
            yield
        finally:
            self._joined_kernels = None

    def _project(self, x):
        if self._joined_kernels is None or x.shape[1] != 1:
            return {name: dense(x) for name, dense in self.projections.items()}
        joined = ops.matmul(ops.cast(x, self.compute_dtype), self._joined_kernels)
        streams = ops.split(joined, len(self.projections), axis=-1)
        return dict(zip(self.projections, streams, strict=True))

    def _convolve(self, name, stream, **kwargs):
        return self.convolutions[name](stream, **kwargs) if self.convolutions else stream

    def _convolve_with_cache(self, streams, cache, index):
        """Convolves with the history in the cache; returns the streams and a new cache."""
        cache = dict(cache)
        if not self.convolutions:
            return streams, cache
        reach = self.kernel_size - 1
        histories, convolved = {}, {}
        for name, stream in streams.items():
            before, histories[name] = extend_history(cache["history"][name], stream, index, reach)
            convolved[name] = self._convolve(name, stream, history=before)
        cache["history"] = histories
        return convolved, cache

    def _attend(self, query, keys, values, position_bias, mask, training):
        """Returns the attention-weighted values, `[B, T, H * D]`."""
        scores = self._scores(query, keys)
        if position_bias is not None:
            scores = scores + ops.cast(position_bias, scores.dtype)
        scores = ops.where(mask, scores, MASKED)
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
            # In decoding. For matrix products XLA would lay the cache out anew at every step.
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

    def compute_output_spec(self, x, cache=None, **kwargs):
        """Returns the spec of `[B, T, C]`, and of the cache where there is one."""
        output = keras.KerasTensor(x.shape, dtype=self.compute_dtype)
        return output if cache is None else (output, cache)

    def get_config(self):
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "kernel_size": self.kernel_size,
            "shared_query_key": self.shared_query_key,
            "dropout": self.dropout,
            "initializer_scale": self.initializer_scale,
        }
