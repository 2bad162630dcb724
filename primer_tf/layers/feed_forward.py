"""Position-wise feed-forward layer, plain or gated."""

from typing import Any

import keras
from keras import ops

from primer_tf.layers import activations
from primer_tf.layers.decoder_context import DecoderContext
from primer_tf.layers.decoder_layer import DecoderLayer
from primer_tf.layers.dense import Dense
from primer_tf.layers.shape_checks import check_positive, check_rank
from primer_tf.types import Activation, Config, Shape, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class FeedForward(DecoderLayer):
    """Two dense layers with an activation between them (Mesh TensorFlow's `DenseReluDense`).

    Plain: `y = f(x W + b) Wo + bo`. Gated: `y = (f(x W + b) * (x V + c)) Wo + bo`, which gives
    ReGLU with `activation="relu"` and SwiGLU with `activation="swish"`.

    Args:
        intermediate_dim: Width of the hidden layer, `d_ff`, at least 1.
        activation: Name of an activation function, or the function. Defaults to `"squared_relu"`,
            Primer's.
        gated: Whether a second, linear projection multiplies the activated one. Defaults to
            `False`.
        use_bias: Whether the dense layers have biases. Defaults to `True`.
        dropout: Rate of dropout on the hidden layer, from 0 to 1. Defaults to 0.
        initializer_scale: Variance of the initial kernels, times their fan in. Defaults to 1.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        context: A `DecoderContext` with decoding weights. Defaults to `None`.

    Returns:
        `[B, T, C]`.

    Raises:
        ValueError: The activation is unknown, `intermediate_dim` is below 1, or `x` has the wrong
            rank.

    Example:

    >>> import numpy as np
    >>> from primer_tf.layers import FeedForward, squared_relu
    >>> layer = FeedForward(16, activation="squared_relu")
    >>> tuple(layer(np.ones((2, 5, 8), "float32")).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        intermediate_dim: int,
        activation: Activation = "squared_relu",
        gated: bool = False,
        use_bias: bool = True,
        dropout: float = 0.0,
        initializer_scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(self, "intermediate_dim", intermediate_dim)
        self.intermediate_dim = intermediate_dim
        self.activation = activations.get(activation)
        self.gated = gated
        self.use_bias = use_bias
        self.dropout = dropout
        self.initializer_scale = initializer_scale

    def build(self, input_shape: Shape) -> None:
        """Creates the dense layers for `C` channels."""
        check_rank(self, "x", input_shape, 3, "[batch, time, channels]")
        hidden_dim = input_shape[-1]

        def dense(name: str, inputs: int, units: int) -> Dense:
            return Dense(
                units,
                use_bias=self.use_bias,
                # As in Mesh TensorFlow, not corrected for the truncation.
                kernel_initializer=keras.initializers.TruncatedNormal(
                    stddev=(self.initializer_scale / inputs) ** 0.5
                ),
                dtype=self.dtype_policy,
                name=name,
            )

        self.intermediate_dense = dense("intermediate", hidden_dim, self.intermediate_dim)
        self.intermediate_dense.build(input_shape)
        if self.gated:
            self.linear_dense = dense("linear", hidden_dim, self.intermediate_dim)
            self.linear_dense.build(input_shape)
        self.output_dense = dense("output", self.intermediate_dim, hidden_dim)
        self.output_dense.build((*input_shape[:-1], self.intermediate_dim))
        self.dropout_layer = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)

    def decoding_weights(self) -> dict[str, Tensor | None]:
        """Returns the decoding weights of the dense layers, by name."""
        layers = {"intermediate": self.intermediate_dense, "output": self.output_dense}
        if self.gated:
            layers["linear"] = self.linear_dense
        return {name: layer.decoding_weights() for name, layer in layers.items()}

    def call(
        self, x: Tensor, context: DecoderContext | None = None, training: bool | None = None
    ) -> Tensor:
        """Applies the layer at every position."""
        weights = (context and context.decoding_weights) or {}
        hidden = self.intermediate_dense.project(x, weights.get("intermediate"))
        hidden = self.activation(hidden)
        if self.gated:
            hidden = ops.multiply(hidden, self.linear_dense.project(x, weights.get("linear")))
        hidden = self.dropout_layer(hidden, training=training)
        return self.output_dense.project(hidden, weights.get("output"))

    def compute_output_spec(
        self, x: Tensor, *args: Any, context: DecoderContext | None = None, **kwargs: Any
    ) -> keras.KerasTensor:
        """Returns the spec of the output, which has the shape of `x`."""
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "intermediate_dim": self.intermediate_dim,
            "activation": activations.serialize(self.activation),
            "gated": self.gated,
            "use_bias": self.use_bias,
            "dropout": self.dropout,
            "initializer_scale": self.initializer_scale,
        }
