"""Mixture of feed-forward experts with top-1 routing, of the Switch Transformer."""

from typing import Any

import keras
from keras import ops

from primer_tf.layers import activations
from primer_tf.layers.decoder_context import DecoderContext
from primer_tf.layers.decoder_layer import PositionMixingLayer
from primer_tf.layers.expert_dispatch import combine, dispatch, smaller_size
from primer_tf.layers.precision import at_least_float32
from primer_tf.layers.replicas import split_rows
from primer_tf.layers.shape_checks import check_positive, check_rank
from primer_tf.types import Activation, Cache, Config, Shape, Tensor

# Number of tokens of one expert that are computed together in decoding.
BLOCK_SIZE = 32


@keras.saving.register_keras_serializable(package="primer_tf")
class SwitchFeedForward(PositionMixingLayer):
    """Feed-forward experts, of which each token uses one (Fedus et al. 2021, section 2).

    A router gives each token a probability for each expert, `p = softmax(x Wr)`, in float32. The
    token is dispatched to its most probable expert `e`: `y = p_e * (f(x W_e) Wo_e)`, without
    biases. Gated experts are as in `FeedForward`. Source: `_switch_gating` and
    `transformer_moe_layer_v1` of `mesh_tensorflow.transformer.moe`.

    Experts have a limited capacity. The `B * T` tokens, row after row, are split into groups of
    equal size, about `group_size`, and an expert takes `capacity_factor / num_experts` of a group.
    Later tokens are dropped: their `y` is zero. The output of a row therefore depends on the other
    rows of the batch. In decoding with a cache there is no limit and no token is dropped, because
    a user's text must not depend on the requests of others. Both ways give the same output if no
    expert exceeds its capacity.

    In training the router's inputs are multiplied by uniform noise from `1 - router_jitter` to
    `1 + router_jitter`, and two losses are added by `add_loss`:

    - `load_balance_loss` times the mean over groups of `E * sum_e f_e P_e`, where `f_e` is the
      share of the group's tokens whose most probable expert is `e`, and `P_e` is the mean of their
      `p_e`. The sum is 1 if the experts are balanced. A group counts by its share of real tokens.
    - `router_z_loss` times the mean of `logsumexp(x Wr)^2` over real tokens (Zoph et al. 2022,
      section 3.3).

    Args:
        intermediate_dim: Width of an expert's hidden layer, `F`, at least 1.
        num_experts: Number of experts, `E`, at least 1.
        activation: Name of an activation function, or the function, `f`. Defaults to `"relu"`.
        gated: Whether a second, linear projection multiplies the activated one. Defaults to
            `False`.
        dropout: Rate of dropout on the hidden layer, from 0 to 1. Defaults to 0.
        capacity_factor: Capacity of an expert in training, relative to an equal share of the
            tokens, above 0. Defaults to 1.25.
        eval_capacity_factor: Capacity of an expert outside training, relative to an equal share of
            the tokens, above 0. Defaults to 2.
        min_expert_capacity: Least capacity of an expert, in tokens of a group, at least 1. Defaults
            to 4.
        group_size: Number of tokens in a group, at least 1. Defaults to 1024.
        router_jitter: Half the width of the noise, from 0 to 1. Defaults to 0.01.
        load_balance_loss: Factor of the loss that balances the experts. Defaults to 0.01.
        router_z_loss: Factor of the router's z-loss. Defaults to 0.
        initializer_scale: Variance of the initial kernels, times their fan in, above 0. The paper
            recommends 0.1 (section 2.4). Defaults to 1.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        padding_mask: `[B, T]`, true at real tokens. The others are sent to no expert. Defaults to
            all real.
        cache: `()` to decode, else `None`. Defaults to `None`.
        context: A `DecoderContext`, in place of the arguments above. Defaults to `None`.

    Returns:
        `[B, T, C]`, and with `cache` also the cache.

    Raises:
        ValueError: A size or factor is not positive, the activation is unknown, or `x` has the
            wrong rank.

    Example:

    >>> import numpy as np
    >>> from primer_tf.layers import SwitchFeedForward
    >>> layer = SwitchFeedForward(16, num_experts=4)
    >>> tuple(layer(np.ones((2, 5, 8), "float32")).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        intermediate_dim: int,
        num_experts: int,
        activation: Activation = "relu",
        gated: bool = False,
        dropout: float = 0.0,
        capacity_factor: float = 1.25,
        eval_capacity_factor: float = 2.0,
        min_expert_capacity: int = 4,
        group_size: int = 1024,
        router_jitter: float = 0.01,
        load_balance_loss: float = 0.01,
        router_z_loss: float = 0.0,
        initializer_scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(self, "intermediate_dim", intermediate_dim)
        check_positive(self, "num_experts", num_experts)
        check_positive(self, "min_expert_capacity", min_expert_capacity)
        check_positive(self, "group_size", group_size)
        for name, factor in (
            ("capacity_factor", capacity_factor),
            ("eval_capacity_factor", eval_capacity_factor),
            ("initializer_scale", initializer_scale),
        ):
            if factor <= 0:
                raise ValueError(f"SwitchFeedForward needs `{name}` above 0; received {factor!r}.")
        self.intermediate_dim = intermediate_dim
        self.num_experts = num_experts
        self.activation = activations.get(activation)
        self.gated = gated
        self.dropout = dropout
        self.capacity_factor = capacity_factor
        self.eval_capacity_factor = eval_capacity_factor
        self.min_expert_capacity = min_expert_capacity
        self.group_size = group_size
        self.router_jitter = router_jitter
        self.load_balance_loss = load_balance_loss
        self.router_z_loss = router_z_loss
        self.initializer_scale = initializer_scale
        if router_jitter:
            self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape: Shape) -> None:
        """Creates the router and the experts for `C` channels."""
        check_rank(self, "x", input_shape, 3, "[batch, time, channels]")
        hidden_dim = input_shape[-1]

        def kernel(name: str, fan_in: int, *shape: int, **kwargs: Any) -> keras.Variable:
            stddev = (self.initializer_scale / fan_in) ** 0.5
            initializer = keras.initializers.TruncatedNormal(stddev=stddev)
            return self.add_weight(name=name, shape=shape, initializer=initializer, **kwargs)

        experts, width = self.num_experts, self.intermediate_dim
        self.router_kernel = kernel(
            "router_kernel", hidden_dim, hidden_dim, experts, autocast=False
        )
        self.intermediate_kernel = kernel(
            "intermediate_kernel", hidden_dim, experts, hidden_dim, width
        )
        if self.gated:
            self.linear_kernel = kernel("linear_kernel", hidden_dim, experts, hidden_dim, width)
        self.output_kernel = kernel("output_kernel", width, experts, width, hidden_dim)
        self.dropout_layer = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)

    def build_cache(self, batch_size: int | Tensor, max_length: int | Tensor) -> Cache:
        """Returns `()`: in decoding, a token's output depends on that token alone."""
        return ()

    def mix(
        self, x: Tensor, context: DecoderContext, training: bool | None = None
    ) -> tuple[Tensor, Cache]:
        """Applies to every token of `x` the expert that the router chooses."""
        tokens = ops.reshape(x, (-1, x.shape[-1]))
        logits = self._router_logits(tokens, training)
        if context.cache is not None:
            y = self._apply_in_blocks(tokens, logits, smaller_size(ops.shape(x)[1], BLOCK_SIZE))
        else:
            mask = context.padding_mask
            real = None if mask is None else ops.reshape(mask, (-1,))
            y = self._apply_in_groups(tokens, logits, real, training)
        return ops.reshape(y, ops.shape(x)), context.cache

    def _router_logits(self, tokens: Tensor, training: bool | None) -> Tensor:
        inputs = at_least_float32(tokens)
        if training and self.router_jitter:
            inputs = inputs * keras.random.uniform(
                ops.shape(inputs),
                1.0 - self.router_jitter,
                1.0 + self.router_jitter,
                dtype=inputs.dtype,
                seed=self.seed_generator,
            )
        return ops.matmul(inputs, ops.cast(self.router_kernel, inputs.dtype))

    def _apply_in_groups(
        self, tokens: Tensor, logits: Tensor, real: Tensor | None, training: bool | None
    ) -> Tensor:
        """Applies experts of limited capacity to tokens `[N, C]`; `real` is `[N]` or `None`."""
        count = ops.shape(tokens)[0]
        groups, size = self._groups(count)
        capacity = self._capacity(size, training)
        grouped = (groups, size, self.num_experts)
        logits = ops.reshape(logits, grouped)
        probabilities = ops.softmax(logits, axis=-1)
        expert = ops.argmax(logits, axis=-1)
        chosen = ops.one_hot(expert, self.num_experts, dtype=logits.dtype)
        gate = ops.sum(probabilities * chosen, axis=-1)
        if real is None:
            real = ops.ones((groups, size), dtype=logits.dtype)
        else:
            real = ops.cast(ops.reshape(real, (groups, size)), logits.dtype)
        if training:
            self.add_loss(self._losses_of_router(logits, probabilities, chosen, real))

        # The first tokens of an expert are kept.
        chosen = chosen * real[:, :, None]
        position_in_expert = ops.sum((ops.cumsum(chosen, axis=1) - chosen) * chosen, axis=-1)
        position_in_expert = ops.cast(position_in_expert, "int32")
        kept = ops.logical_and(ops.less(position_in_expert, capacity), ops.greater(real, 0))
        group = ops.arange(groups, dtype="int32")[:, None]
        rows = groups * capacity
        first = (ops.cast(expert, "int32") * groups + group) * capacity
        dispatch_index = ops.where(kept, first + position_in_expert, self.num_experts * rows)

        dispatch_index, gate = ops.reshape(dispatch_index, (-1,)), ops.reshape(gate, (-1, 1))
        inputs = dispatch(tokens, dispatch_index, self.num_experts * rows)
        inputs = ops.reshape(inputs, (self.num_experts, rows, tokens.shape[-1]))
        inputs = split_rows(inputs, self.intermediate_kernel)
        outputs = self._expert(inputs, *self._kernels(), training=training)
        return combine(outputs, dispatch_index) * ops.cast(gate, tokens.dtype)

    def _apply_in_blocks(self, tokens: Tensor, logits: Tensor, block: int | Tensor) -> Tensor:
        """Applies the experts to all tokens `[N, C]`, `block` tokens of one expert at a time."""
        count = ops.shape(tokens)[0]
        expert = ops.argmax(logits, axis=-1)
        gate = ops.max(ops.softmax(logits, axis=-1), axis=-1, keepdims=True)
        chosen = ops.one_hot(expert, self.num_experts, dtype="int32")
        position_in_expert = ops.sum((ops.cumsum(chosen, axis=0) - chosen) * chosen, axis=-1)
        # Each expert has as many blocks as its tokens need.
        blocks_of_expert = (ops.sum(chosen, axis=0) + block - 1) // block
        ends = ops.cumsum(blocks_of_expert)
        dispatch_index = ops.take(ends - blocks_of_expert, expert) * block + position_in_expert
        # The largest number of blocks that any distribution of the tokens needs.
        blocks = smaller_size(count, (count + self.num_experts * (block - 1)) // block)
        expert_of_block = ops.sum(
            ops.cast(ops.arange(blocks, dtype="int32")[:, None] >= ends[None, :], "int32"), axis=-1
        )
        expert_of_block = ops.minimum(expert_of_block, self.num_experts - 1)

        def apply(arguments: tuple[Tensor, Tensor]) -> Tensor:
            inputs, expert = arguments
            return self._expert(inputs, *(ops.take(k, expert, axis=0) for k in self._kernels()))

        inputs = dispatch(tokens, dispatch_index, blocks * block)
        inputs = ops.reshape(inputs, (blocks, block, tokens.shape[-1]))
        outputs = ops.map(apply, (inputs, expert_of_block))
        return combine(outputs, dispatch_index) * ops.cast(gate, tokens.dtype)

    def _groups(self, count: int | Tensor) -> tuple[int | Tensor, int | Tensor]:
        """Returns how many groups there are of `count` tokens, and their size."""
        if isinstance(count, int):
            groups = max(1, count // self.group_size)
            while count % groups:
                groups += 1
            return groups, count // groups
        groups = ops.arange(1, count + 1, dtype="int32")
        fits = ops.logical_and(
            ops.greater_equal(groups, count // self.group_size), ops.equal(count % groups, 0)
        )
        groups = ops.min(ops.where(fits, groups, count))
        return groups, count // groups

    def _capacity(self, size: int | Tensor, training: bool | None) -> int | Tensor:
        """Returns how many tokens of a group of `size` an expert takes."""
        factor = self.capacity_factor if training else self.eval_capacity_factor
        if isinstance(size, int):
            share = int(size * factor / self.num_experts)
            return max(min(size, share), self.min_expert_capacity)
        share = ops.cast(ops.cast(size, "float64") * factor / self.num_experts, "int32")
        return ops.maximum(ops.minimum(size, share), self.min_expert_capacity)

    def _losses_of_router(
        self, logits: Tensor, probabilities: Tensor, chosen: Tensor, real: Tensor
    ) -> Tensor:
        share, probability = ops.mean(chosen, axis=1), ops.mean(probabilities, axis=1)
        balance = self.num_experts * ops.sum(share * probability, axis=-1)
        loss = self.load_balance_loss * ops.mean(balance * ops.mean(real, axis=1))
        if self.router_z_loss:
            squares = ops.square(ops.logsumexp(logits, axis=-1))
            loss = loss + self.router_z_loss * ops.sum(squares * real) / ops.sum(real)
        return loss

    def _kernels(self) -> list[Tensor]:
        kernels = [self.intermediate_kernel, self.output_kernel]
        kernels += [self.linear_kernel] if self.gated else []
        return [ops.cast(kernel, self.compute_dtype) for kernel in kernels]

    def _expert(
        self,
        x: Tensor,
        intermediate: Tensor,
        output: Tensor,
        linear: Tensor | None = None,
        *,
        training: bool | None = False,
    ) -> Tensor:
        """Applies experts to `[..., K, C]`, one for each leading index."""
        hidden = self.activation(ops.matmul(x, intermediate))
        if linear is not None:
            hidden = hidden * ops.matmul(x, linear)
        hidden = self.dropout_layer(hidden, training=training)
        return ops.matmul(hidden, output)

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "intermediate_dim": self.intermediate_dim,
            "num_experts": self.num_experts,
            "activation": activations.serialize(self.activation),
            "gated": self.gated,
            "dropout": self.dropout,
            "capacity_factor": self.capacity_factor,
            "eval_capacity_factor": self.eval_capacity_factor,
            "min_expert_capacity": self.min_expert_capacity,
            "group_size": self.group_size,
            "router_jitter": self.router_jitter,
            "load_balance_loss": self.load_balance_loss,
            "router_z_loss": self.router_z_loss,
            "initializer_scale": self.initializer_scale,
        }
