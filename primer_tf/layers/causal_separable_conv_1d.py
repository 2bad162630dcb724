"""Causal depthwise separable convolution along the sequence."""

import keras
from keras import ops

from primer_tf.layers import activations
from primer_tf.layers.causal_depthwise_conv_1d import CausalDepthwiseConv1D
from primer_tf.layers.dense import Dense
from primer_tf.layers.layer import Layer
from primer_tf.layers.shape_checks import check_positive, check_rank


@keras.saving.register_keras_serializable(package="primer_tf")
class CausalSeparableConv1D(Layer):
    """Depthwise convolution over past positions, then a dense layer, both with biases.

    `y[t] = f((sum_i tap_i * x[t - i] + b) W + c)` for `i < kernel_size`; positions before the first
    count as zero. Mesh TensorFlow's `separable_conv1d` with `max_relative_pos=0`.

    Args:
        filters: Channels of the output, `F`.
        kernel_size: Positions that one output sees, itself included.
        activation: Name or function, `None` for none.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        segment_ids: `[B, T]` integers; a position sees only its own segment. Optional.
        history: `[B, kernel_size - 1, C]`, the inputs just before `x`, for decoding. Optional.

    Returns:
        `[B, T, F]`.

    Raises:
        ValueError: A size below 1, unknown activation, or an input of the wrong rank.

    Example:

    >>> CausalSeparableConv1D(filters=64, kernel_size=7)(keras.ops.ones((2, 5, 16))).shape
    """

    def __init__(self, filters, kernel_size, activation=None, **kwargs):
        super().__init__(**kwargs)
        check_positive(self, "filters", filters)
        check_positive(self, "kernel_size", kernel_size)
        self.filters = filters
        self.kernel_size = kernel_size
        self.activation = activations.get(activation)

    def build(self, input_shape):
        """Creates the convolution and the dense layer for `C` channels."""
        check_rank(self, "x", input_shape, 3, "[batch, time, channels]")
        channels = input_shape[-1]
        # Mesh TensorFlow's initial values: a tap counts as one of `kernel_size` inputs.
        self.depthwise = CausalDepthwiseConv1D(
            self.kernel_size,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=self.kernel_size**-0.5),
            dtype=self.dtype_policy,
            name="depthwise",
        )
        self.depthwise.build(input_shape)
        self.depthwise_bias = self.add_weight(
            name="depthwise_bias", shape=(channels,), initializer="zeros"
        )
        self.pointwise = Dense(
            self.filters,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=channels**-0.5),
            dtype=self.dtype_policy,
            name="pointwise",
        )
        self.pointwise.build(input_shape)

    def call(self, x, segment_ids=None, history=None):
        """Convolves `x`."""
        y = self.depthwise(x, segment_ids=segment_ids, history=history)
        y = y + ops.cast(self.depthwise_bias, y.dtype)
        return self.activation(self.pointwise(y))

    def compute_output_spec(self, x, **kwargs):
        """Returns the spec of `[B, T, F]`."""
        return keras.KerasTensor((*x.shape[:-1], self.filters), dtype=self.compute_dtype)

    def get_config(self):
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "activation": keras.activations.serialize(self.activation),
        }
