"""Position-wise feed-forward layer, plain or gated."""

import keras
from keras import ops

from primer_tf.layers import activations
from primer_tf.layers.decoder_layer import DecoderLayer
from primer_tf.layers.dense import Dense
from primer_tf.layers.shape_checks import check_positive, check_rank


@keras.saving.register_keras_serializable(package="primer_tf")
class FeedForward(DecoderLayer):
    """Two dense layers with an activation between them (Mesh TensorFlow's `DenseReluDense`).

    Plain: `y = f(x W + b) Wo + bo`. Gated: `y = (f(x W + b) * (x V + c)) Wo + bo`, which gives
    ReGLU with `activation="relu"` and SwiGLU with `activation="swish"`.

    Args:
        intermediate_dim: Width of the hidden layer, `d_ff`.
        activation: Name or function; `"squared_relu"` is Primer's.
        gated: Whether a second, linear projection multiplies the activated one.
        use_bias: Whether the dense layers have biases.
        dropout: Rate of dropout on the hidden layer.
        initializer_scale: Variance of the initial kernels times their fan in.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        context: A `DecoderContext`, in a decoder. Optional.

    Returns:
        `[B, T, C]`.

    Raises:
        ValueError: Unknown activation, `intermediate_dim` below 1, or `x` of the wrong rank.

    Example:

    >>> FeedForward(2048, activation="squared_relu")(keras.random.normal((2, 5, 512))).shape
    """

    def __init__(
        self,
        intermediate_dim,
        activation="squared_relu",
        gated=False,
        use_bias=True,
        dropout=0.0,
        initializer_scale=1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, "intermediate_dim", intermediate_dim)
        self.intermediate_dim = intermediate_dim
        self.activation = activations.get(activation)
        self.gated = gated
        self.use_bias = use_bias
        self.dropout = dropout
        self.initializer_scale = initializer_scale

    def build(self, input_shape):
        """Creates the dense layers for `C` channels."""
        check_rank(self, "x", input_shape, 3, "[batch, time, channels]")
        hidden_dim = input_shape[-1]

        def dense(name, inputs, units):
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

    def decoding_weights(self):
        """Returns the decoding weights of the dense layers, by name."""
        layers = {"intermediate": self.intermediate_dense, "output": self.output_dense}
        if self.gated:
            layers["linear"] = self.linear_dense
        return {name: layer.decoding_weights() for name, layer in layers.items()}

    def call(self, x, context=None, training=None):
        """Applies the layer at every position."""
        weights = (context and context.decoding_weights) or {}
        hidden = self.intermediate_dense.project(x, weights.get("intermediate"))
        hidden = self.activation(hidden)
        if self.gated:
            hidden = ops.multiply(hidden, self.linear_dense.project(x, weights.get("linear")))
        hidden = self.dropout_layer(hidden, training=training)
        return self.output_dense.project(hidden, weights.get("output"))

    def compute_output_spec(self, x, context=None, **kwargs):
        """Returns the spec of the output, which has the shape of `x`."""
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def get_config(self):
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
