"""Causal depthwise separable convolution along the sequence."""

from typing import Any

import keras
from keras import ops

from primer_tf.layers import activations
from primer_tf.layers.causal_depthwise_conv_1d import CausalDepthwiseConv1D
from primer_tf.layers.dense import Dense
from primer_tf.layers.layer import Layer
from primer_tf.layers.shape_checks import check_positive, check_rank
from primer_tf.layers.standalone_layer import StandaloneLayer
from primer_tf.types import Activation, Config, Shape, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class CausalSeparableConv1D(StandaloneLayer, Layer):
    """Depthwise convolution over past positions, then a dense layer, both with biases.

    `y[t] = f((sum_i tap_i * x[t - i] + b) W + c)` for `i < kernel_size`. Inputs before the first
    position are zero. Source: `separable_conv1d` of Mesh TensorFlow with `max_relative_pos=0`.

    Args:
        filters: Number of output channels, `F`, at least 1.
        kernel_size: Number of positions that an output depends on, at least 1.
        activation: Name of an activation function, or the function, `f`. Defaults to the identity.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        segment_ids: `[B, T]` integers, as in `CausalDepthwiseConv1D`. Defaults to one segment.
        history: `[B, kernel_size - 1, C]`, as in `CausalDepthwiseConv1D`. Defaults to zeros.
        padding_mask: `[B, T]`, as in `CausalDepthwiseConv1D`. Defaults to the mask that Keras keeps
            with `x`, or else all real.

    Returns:
        `[B, T, F]`.

    Raises:
        ValueError: A size is below 1, the activation is unknown, or an input has the wrong rank.

    Example:

    >>> import numpy as np
    >>> from primer_tf.layers import CausalSeparableConv1D
    >>> layer = CausalSeparableConv1D(filters=8, kernel_size=3)
    >>> tuple(layer(np.ones((2, 5, 4), "float32")).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        activation: Activation | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(self, "filters", filters)
        check_positive(self, "kernel_size", kernel_size)
        self.filters = filters
        self.kernel_size = kernel_size
        self.activation = activations.get(activation)

    def build(self, input_shape: Shape) -> None:
        """Creates the convolution and the dense layer for `C` channels."""
        check_rank(self, "x", input_shape, 3, "[batch, time, channels]")
        channels = input_shape[-1]
        # Mesh TensorFlow's initial values: the fan in of a tap is `kernel_size`.
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

    def call(
        self,
        x: Tensor,
        segment_ids: Tensor | None = None,
        history: Tensor | None = None,
        padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Convolves `x`."""
        y = self.depthwise(x, segment_ids=segment_ids, history=history, padding_mask=padding_mask)
        y = y + ops.cast(self.depthwise_bias, y.dtype)
        return self.activation(self.pointwise(y))

    def compute_output_spec(self, x: Tensor, **kwargs: Any) -> keras.KerasTensor:
        """Returns the spec of `[B, T, F]`."""
        return keras.KerasTensor((*x.shape[:-1], self.filters), dtype=self.compute_dtype)

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "activation": activations.serialize(self.activation),
        }
