"""A decoder: blocks of residual sublayers, shared position biases, a last normalization."""

import contextlib

import keras

from primer_tf.layers.decoder_block import DecoderBlock
from primer_tf.layers.layer import Layer
from primer_tf.layers.normalization import make_normalization
from primer_tf.layers.rematerialization import rematerialize
from primer_tf.layers.residual_sublayer import PLACEMENTS, ResidualSublayer
from primer_tf.layers.shape_checks import check_positive, check_rank
from primer_tf.layers.t5_relative_position_bias import T5RelativePositionBias


@keras.saving.register_keras_serializable(package="primer_tf")
class DecoderStack(Layer):
    """Repeats a block of layers, each wrapped as a `ResidualSublayer` (T5's `make_layer_stack`).

    Args:
        layers: The layers of one block, as prototypes: each block gets copies of its own.
        num_blocks: How often the block is repeated.
        normalization: `"layer"`, `"rms"` or `"primer"`.
        placement: `"pre"`, `"post"` or `"alternating"`: pre around the layers of even number,
            counted through the stack, post around the others (full Primer).
        dropout: Rate of dropout after every sublayer and at the end.
        num_buckets: Buckets of the position bias; one table serves all attention layers that have
            the same number of heads.
        max_distance: Distance of the last bucket.
        gradient_checkpointing: Whether the gradient recomputes each block instead of keeping its
            activations.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        padding_mask: `[B, T]`, true at real tokens. Optional.
        segment_ids: `[B, T]` integers, for packed sequences. Optional.
        cache: What `build_cache` or an earlier call returned. Optional.
        cache_update_index: Position of the first token of `x` when there is a cache.
        layer_intercept_fn: Called as `fn(x, i)` on what block `i` returns; its result goes on.

    Returns:
        `[B, T, C]`, and with `cache` also the updated cache.

    Raises:
        ValueError: A size below 1, no layers, unknown normalization or placement, wrong rank.

    Example:

    >>> block = [MultiDConvHeadAttention(num_heads=4), FeedForward(64)]
    >>> DecoderStack(block, num_blocks=2)(keras.random.normal((2, 5, 16))).shape
    """

    def __init__(
        self,
        layers,
        num_blocks,
        normalization="layer",
        placement="pre",
        dropout=0.0,
        num_buckets=32,
        max_distance=128,
        gradient_checkpointing=False,
        **kwargs,
    ):
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
        heads = {
            sublayer.layer.num_heads
            for block in self.blocks
            for sublayer in block.sublayers
            if hasattr(sublayer.layer, "num_heads")
        }
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

    def _make_block(self, block_index):
        sublayers = []
        for index, prototype in enumerate(self._prototypes):
            config = {**prototype["config"], "dtype": self.dtype_policy}
            layer = keras.saving.deserialize_keras_object({**prototype, "config": config})
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

    def build(self, input_shape):
        """Builds every block for `[B, T, C]`."""
        check_rank(self, "x", input_shape, 3, "[batch, time, channels]")
        for layer in self.position_bias_layers:
            layer.build()
        for block in self.blocks:
            block.build(input_shape)
        self.norm.build(input_shape)

    def build_cache(self, batch_size, max_length):
        """Returns an empty cache for `max_length` positions, a nest of `[B, ...]` tensors."""
        return tuple(block.build_cache(batch_size, max_length) for block in self.blocks)

    @contextlib.contextmanager
    def laid_out_for_decoding(self):
        """Inside, single positions are projected faster; enter it outside of a decoding loop."""
        with contextlib.ExitStack() as stack:
            for layer in self._flatten_layers(include_self=False):
                if hasattr(layer, "laid_out_for_decoding"):
                    stack.enter_context(layer.laid_out_for_decoding())
            yield

    def call(
        self,
        x,
        padding_mask=None,
        segment_ids=None,
        cache=None,
        cache_update_index=0,
        layer_intercept_fn=None,
        training=None,
    ):
        """Applies the blocks and the last normalization."""
        check_rank(self, "x", x.shape, 3, "[batch, time, channels]")
        biases = {layer.num_heads: layer.by_distance() for layer in self.position_bias_layers}
        updated = []
        for index, block in enumerate(self.blocks):

            def apply(y, *position_biases, block=block, block_cache=cache and cache[index]):
                return block(
                    y,
                    position_biases=dict(zip(biases, position_biases, strict=True)),
                    padding_mask=padding_mask,
                    segment_ids=segment_ids,
                    cache=block_cache,
                    cache_update_index=cache_update_index,
                    # Where it is computed again, there is no call around it to take this from.
                    training=training,
                )

            if cache is not None:
                x, new = apply(x, *biases.values())
                updated.append(new)
            elif self.gradient_checkpointing:
                x, losses = rematerialize(block, apply)(x, *biases.values())
                self.add_loss(losses)
            else:
                x = apply(x, *biases.values())
            if layer_intercept_fn is not None:
                x = layer_intercept_fn(x, index)
        x = self.dropout_layer(self.norm(x))
        return x if cache is None else (x, tuple(updated))

    def compute_output_spec(self, x, cache=None, **kwargs):
        """Returns the spec of `[B, T, C]`, and of the cache where there is one."""
        output = keras.KerasTensor(x.shape, dtype=self.compute_dtype)
        return output if cache is None else (output, cache)

    def get_config(self):
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
