"""A decoder block that a program describes."""

from typing import Any

import keras
from keras import ops

from primer_tf.layers.decoder_context import DecoderContext
from primer_tf.layers.decoder_layer import PositionMixingLayer
from primer_tf.layers.position_cache import read_cache, write_cache
from primer_tf.layers.shape_checks import check_rank
from primer_tf.layers.t5_relative_position_bias import skew_distances
from primer_tf.programs.graph import CONCATENATE, INPUT, REPEAT, Node, infer_graph, num_heads
from primer_tf.programs.primitive import Call, Primitive
from primer_tf.programs.primitives import PRIMITIVES
from primer_tf.programs.program import Program
from primer_tf.types import Cache, Config, Shape, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class ProgramLayer(PositionMixingLayer):
    """A whole decoder block that runs a program, residuals and normalizations included.

    Args:
        program: A `Program`, or its JSON text.
        dropout: Rate of dropout, which can only be 0. Defaults to 0.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`, `C` a multiple of 8.
        position_bias: `[H, R]` or `[H, T, T]`, as in `PositionMixingLayer`. Defaults to no bias.
        padding_mask: `[B, T]`, not used: every program is causal, so padding on the right changes
            nothing before it.
        cache: The inputs at earlier positions. Defaults to `None`.
        cache_update_index: Position of the first token of `x`, an integer, a scalar or `[B]`.
            Defaults to 0.
        context: A `DecoderContext`, in place of the arguments above. Defaults to `None`.

    Returns:
        `[B, T, C]`, and with a cache also the updated cache.

    Raises:
        InvalidProgram: The program does not map `[B, T, C]` to `[B, T, C]`.
        ValueError: `dropout` is not 0, or `segment_ids` are given.

    Example:

    >>> import numpy as np
    >>> from primer_tf.programs import primer_ez
    >>> from primer_tf.programs.program_layer import ProgramLayer
    >>> layer = ProgramLayer(primer_ez(num_heads=2))
    >>> tuple(layer(np.ones((2, 5, 16), "float32")).shape)
    (2, 5, 16)
    """

    is_whole_block = True

    def __init__(self, program: Program | str, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if dropout:
            raise ValueError(f"ProgramLayer has no dropout; received {dropout}.")
        self.program_json = program if isinstance(program, str) else program.to_json()
        # Shapes may go together for some `hidden_dim` only: `build` infers them.
        self.num_heads = num_heads(Program.from_json(self.program_json))

    def build(self, input_shape: Shape) -> None:
        """Creates the weights for `C` channels."""
        check_rank(self, "x", input_shape, 3, "[batch, time, channels]")
        graph = infer_graph(Program.from_json(self.program_json), input_shape[-1])
        # Not an attribute with containers, which Keras would wrap.
        self._nodes = lambda: graph.nodes
        self.kernels = []
        for node in graph.nodes:
            if node.weight is not None:
                primitive = PRIMITIVES[node.operation]
                self.kernels.append(
                    self.add_weight(
                        name=f"{node.operation}_{node.path.replace('.', '_')}",
                        shape=node.weight,
                        initializer=_initializer(primitive, node.weight),
                    )
                )

    def build_cache(self, batch_size: int | Tensor, max_length: int | Tensor) -> Cache:
        """Returns an empty cache for the inputs at `max_length` positions.

        A program has no cache of its own: each step runs it on all positions.
        """
        return {"inputs": ops.zeros((batch_size, max_length, self._channels), self.compute_dtype)}

    @property
    def _channels(self) -> int:
        return self._nodes()[0].shape.size(0)

    def mix(
        self, x: Tensor, context: DecoderContext, training: bool | None = None
    ) -> tuple[Tensor, Cache]:
        """Runs the program."""
        if context.segment_ids is not None:
            raise ValueError("ProgramLayer does not support `segment_ids`; leave them out.")
        if context.cache is None:
            return self._run(x, context), None
        index = context.cache_update_index
        inputs = write_cache(context.cache["inputs"], x, index)
        # Positions after those of `x` may hold anything.
        outputs = self._run(inputs, context)
        return read_cache(outputs, index, ops.shape(x)[1]), {"inputs": inputs}

    def _run(self, x: Tensor, context: DecoderContext) -> Tensor:
        length = ops.shape(x)[1]
        positions = ops.arange(length, dtype="int32")
        triangle = positions[:, None] >= positions[None]
        bias = context.position_biases.get(self.num_heads)
        if bias is not None and len(bias.shape) == 2:
            bias = skew_distances(bias, length, length)
        kernels = iter(self.kernels)
        values: list[Tensor] = []
        nodes = self._nodes()
        for node in nodes:
            inputs = [values[index] for index in node.inputs]
            if node.operation == INPUT:
                value = ops.cast(x, self.compute_dtype)[:, None]
            elif node.operation in (REPEAT, CONCATENATE):
                value = _join(inputs[0], node)
            else:
                weight = None
                if node.weight is not None:
                    weight = ops.cast(ops.convert_to_tensor(next(kernels)), self.compute_dtype)
                call = Call(
                    inputs,
                    [nodes[index].shape for index in node.inputs],
                    weight,
                    node.constant,
                    node.total,
                    node.branches,
                    triangle,
                    bias,
                )
                value = PRIMITIVES[node.operation].apply(ops, call)
            values.append(value)
        return values[-1][:, 0]

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {**super().get_config(), "program": self.program_json}


def _join(x: Tensor, node: Node) -> Tensor:
    """Repeats `[B, N, T, D]` for each branch, or concatenates the branches' channels."""
    count = node.branches
    if node.operation == REPEAT:
        return ops.repeat(x, count, axis=1)
    copies = x.shape[1]
    if copies == 1:
        return ops.tile(x, (1, 1, 1, count))
    batch, length, channels = ops.shape(x)[0], ops.shape(x)[2], x.shape[3]
    x = ops.reshape(x, (batch, copies // count, count, length, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4))
    return ops.reshape(x, (batch, copies // count, length, count * channels))


def _initializer(primitive: Primitive, shape: tuple[int, ...]) -> keras.initializers.Initializer:
    initial = primitive.initial
    if initial == "normal":
        fan_in = 1
        for size in shape[1:-1]:
            fan_in *= size
        return keras.initializers.RandomNormal(stddev=fan_in**-0.5)
    if isinstance(initial, tuple):
        return lambda shape, dtype=None: ops.broadcast_to(
            ops.convert_to_tensor(initial, dtype=dtype)[:, None], shape
        )
    return keras.initializers.Constant(initial)
