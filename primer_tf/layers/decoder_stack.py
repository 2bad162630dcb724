"""A decoder: blocks of residual sublayers, shared position biases, a last normalization."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras

from primer_tf.layers.decoder_block import DecoderBlock
from primer_tf.layers.decoder_context import DecoderContext
from primer_tf.layers.decoder_layer import DecoderLayer
from primer_tf.layers.normalization import make_normalization
from primer_tf.layers.rematerialization import rematerialize
from primer_tf.layers.residual_sublayer import PLACEMENTS, ResidualSublayer
from primer_tf.layers.shape_checks import check_positive, check_rank
from primer_tf.layers.standalone_layer import StandaloneLayer
from primer_tf.layers.t5_relative_position_bias import T5RelativePositionBias
from primer_tf.types import Cache, Config, Shape, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class DecoderStack(StandaloneLayer, DecoderLayer):
    """Repeats a block of layers, each wrapped as a `ResidualSublayer` (T5's `make_layer_stack`).

    A layer whose `is_whole_block` is true is not wrapped.

    Args:
        layers: The layers of one block. Each block gets copies of them.
        num_blocks: Number of blocks, at least 1.
        normalization: `"layer"`, `"rms"` or `"primer"`. Defaults to `"layer"`.
        placement: `"pre"`, `"post"` or `"alternating"`, which is pre for layers of even number,
            counted through the stack, and post for the others (full Primer). Defaults to `"pre"`.
        dropout: Rate of dropout after every sublayer and at the end, from 0 to 1. Defaults to 0.
        num_buckets: Number of buckets of the position bias. All attention layers with the same
            number of heads share one table. Defaults to 32.
        max_distance: Distance from which on all keys share the last bucket. Defaults to 128.
        gradient_checkpointing: Whether the gradient recomputes the activations of each block
            instead of keeping them. Defaults to `False`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        padding_mask: `[B, T]`, true at real tokens. Defaults to the mask that Keras keeps with `x`,
            or else all real.
        segment_ids: `[B, T]` integers that tell packed sequences apart. Defaults to one segment.
        cache: The cache that `build_cache` or an earlier call returned. Defaults to `None`.
        cache_update_index: Position of the first token of `x` if there is a cache: an integer, a
            scalar tensor, or `[B]` if each row has a position of its own. Defaults to 0.
        decoding_weights: The weights that `decoding_weights` returned, with which single positions
            run faster. Defaults to `None`.
        layer_intercept_fn: Function `fn(x, i)` whose result replaces the output of block `i`.
            Defaults to `None`.

    Returns:
        `[B, T, C]`, and with `cache` also the updated cache.

    Raises:
        ValueError: A size is below 1, there are no layers, the normalization or placement is
            unknown, or `x` has the wrong rank.

    Example:

    >>> import numpy as np
    >>> from primer_tf.layers import DecoderStack, FeedForward, MultiDConvHeadAttention
    >>> block = [MultiDConvHeadAttention(num_heads=2), FeedForward(16)]
    >>> stack = DecoderStack(block, num_blocks=2)
    >>> tuple(stack(np.ones((2, 5, 8), "float32")).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        layers: Sequence[keras.layers.Layer | Config],
        num_blocks: int,
        normalization: str = "layer",
        placement: str = "pre",
        dropout: float = 0.0,
        num_buckets: int = 32,
        max_distance: int = 128,
        gradient_checkpointing: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(self, "num_blocks", num_blocks)
        if not layers:
            raise ValueError("DecoderStack needs at least one layer in a block.")
        if placement not in (*PLACEMENTS, "alternating"):
            raise ValueError(
                "DecoderStack expects `placement` to be pre, post or alternating; "
                f"received {placement!r}."
            )
        self.num_blocks = num_blocks
        self.normalization = normalization
        self.placement = placement
        self.dropout = dropout
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.gradient_checkpointing = gradient_checkpointing
        self._prototypes = [
            layer if isinstance(layer, dict) else keras.saving.serialize_keras_object(layer)
            for layer in layers
        ]
        self.blocks = [self._make_block(index) for index in range(num_blocks)]
        num_heads = (sublayer.num_heads for sublayer in self.blocks[0].sublayers)
        heads = {number for number in num_heads if number is not None}
        self.position_bias_layers = [
            T5RelativePositionBias(
                num_heads,
                num_buckets,
                max_distance,
                dtype=self.dtype_policy,
                name=f"position_bias_{num_heads}_heads",
            )
            for num_heads in sorted(heads)
        ]
        self.norm = make_normalization(normalization, dtype=self.dtype_policy, name="norm")
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def _make_block(self, block_index: int) -> DecoderBlock:
        sublayers: list[keras.layers.Layer] = []
        for index, prototype in enumerate(self._prototypes):
            config = {**prototype["config"], "dtype": self.dtype_policy}
            layer = keras.saving.deserialize_keras_object({**prototype, "config": config})
            if getattr(layer, "is_whole_block", False):
                sublayers.append(layer)
                continue
            placement = self.placement
            if placement == "alternating":
                placement = PLACEMENTS[(block_index * len(self._prototypes) + index) % 2]
            sublayers.append(
                ResidualSublayer(
                    layer,
                    normalization=self.normalization,
                    placement=placement,
                    dropout=self.dropout,
                    dtype=self.dtype_policy,
                    name=f"sublayer_{index}",
                )
            )
        return DecoderBlock(sublayers, dtype=self.dtype_policy, name=f"block_{block_index}")

    def build(self, input_shape: Shape) -> None:
        """Builds every block for `[B, T, C]`."""
        check_rank(self, "x", input_shape, 3, "[batch, time, channels]")
        for layer in self.position_bias_layers:
            layer.build()
        for block in self.blocks:
            block.build(input_shape)
        self.norm.build(input_shape)

    def build_cache(self, batch_size: int | Tensor, max_length: int | Tensor) -> Cache:
        """Returns an empty cache for `max_length` positions, a nest of `[B, ...]` tensors."""
        return tuple(block.build_cache(batch_size, max_length) for block in self.blocks)

    def decoding_weights(self) -> tuple:
        """Returns the decoding weights of each block."""
        return tuple(block.decoding_weights() for block in self.blocks)

    def call(
        self,
        x: Tensor,
        padding_mask: Tensor | None = None,
        segment_ids: Tensor | None = None,
        cache: Cache = None,
        cache_update_index: int | Tensor = 0,
        decoding_weights: Any = None,
        layer_intercept_fn: Callable[[Tensor, int], Tensor] | None = None,
        training: bool | None = None,
    ) -> Tensor | tuple[Tensor, Cache]:
        """Applies the blocks and the last normalization."""
        check_rank(self, "x", x.shape, 3, "[batch, time, channels]")
        context = DecoderContext(
            {layer.num_heads: layer.by_distance() for layer in self.position_bias_layers},
            padding_mask,
            segment_ids,
            cache,
            cache_update_index,
            decoding_weights,
        )
        updated: list[Cache] = []
        for index, block in enumerate(self.blocks):
            if cache is not None:
                x, new = block(x, context=context.for_child(index), training=training)
                updated.append(new)
            elif self.gradient_checkpointing:
                x = self._checkpointed(block, x, context, training)
            else:
                x = block(x, context=context, training=training)
            if layer_intercept_fn is not None:
                x = layer_intercept_fn(x, index)
        x = self.dropout_layer(self.norm(x))
        return x if cache is None else (x, tuple(updated))

    def _checkpointed(
        self, block: DecoderBlock, x: Tensor, context: DecoderContext, training: bool | None
    ) -> Tensor:
        """Applies a block whose gradient recomputes its activations."""
        heads = tuple(context.position_biases)

        def apply(x: Tensor, *biases: Tensor) -> Tensor:
            # What needs a gradient must be an argument. When the block is recomputed, there is no
            # outer call that it could take `training` from.
            inner = dataclasses.replace(
                context, position_biases=dict(zip(heads, biases, strict=True))
            )
            return block(x, context=inner, training=training)

        x, losses = rematerialize(block, apply)(x, *context.position_biases.values())
        self.add_loss(losses)
        return x

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "layers": self._prototypes,
            "num_blocks": self.num_blocks,
            "normalization": self.normalization,
            "placement": self.placement,
            "dropout": self.dropout,
            "num_buckets": self.num_buckets,
            "max_distance": self.max_distance,
            "gradient_checkpointing": self.gradient_checkpointing,
        }
