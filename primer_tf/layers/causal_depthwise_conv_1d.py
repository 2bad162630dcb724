"""Causal depthwise convolution along the sequence."""

from typing import Any

import keras
from keras import ops

from primer_tf.layers.layer import Layer
from primer_tf.layers.position_cache import read_cache, write_cache
from primer_tf.layers.shape_checks import check_positive, check_rank
from primer_tf.layers.standalone_layer import StandaloneLayer
from primer_tf.layers.xla import compiled_by_xla
from primer_tf.types import Config, Initializer, Shape, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class CausalDepthwiseConv1D(StandaloneLayer, Layer):
    """Depthwise convolution over past positions, the "DConv" of Primer (section 4.1 "MDHA").

    `y[t] = sum_i tap_i * x[t - i]` for `i < kernel_size`, with one weight for each channel and tap,
    and no bias. Inputs before the first position are zero. By default the initial values are the
    published ones: 0.5 for the present position and `0.5 / kernel_size` for every earlier one.

    Each tap is a weight of its own, as in the T5 checkpoint, because Adafactor scales and clips
    the update of every weight separately.

    Args:
        kernel_size: Number of positions that an output depends on, at least 1. Defaults to 3.
        kernel_initializer: Initializer of each tap, or `None` for the published values. Defaults to
            `None`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[B, T, C]`.
        segment_ids: `[B, T]` integers. An output depends on its own segment only. Defaults to one
            segment.
        history: `[B, kernel_size - 1, C]`, the inputs just before `x`, for decoding. Defaults to
            zeros.
        padding_mask: `[B, T]`, true at real tokens. The others are taken for zeros. Defaults to the
            mask that Keras keeps with `x`, or else all real.

    Returns:
        `[B, T, C]`.

    Raises:
        ValueError: `kernel_size` is below 1, or an input has the wrong rank.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from primer_tf.layers import CausalDepthwiseConv1D
    >>> layer = CausalDepthwiseConv1D(kernel_size=3)
    >>> y = layer(np.ones((1, 4, 8), "float32"))
    >>> print(keras.ops.convert_to_numpy(y)[0, :, 0].round(3))
    [0.5   0.667 0.833 0.833]
    """

    def __init__(
        self,
        kernel_size: int = 3,
        kernel_initializer: Initializer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(self, "kernel_size", kernel_size)
        self.kernel_size = kernel_size
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Shape) -> None:
        """Creates the taps for `C` channels."""
        check_rank(self, "x", input_shape, 3, "[batch, time, channels]")
        self.taps = [
            self.add_weight(
                name=f"tap_{shift}",
                shape=(input_shape[-1],),
                initializer=self._initializer(shift),
            )
            for shift in range(self.kernel_size)
        ]

    def _initializer(self, shift: int) -> keras.initializers.Initializer:
        if self.kernel_initializer is None:
            return keras.initializers.Constant(0.5 if shift == 0 else 0.5 / self.kernel_size)
        # A random initializer gives the same values at every call.
        return self.kernel_initializer.clone()

    def call(
        self,
        x: Tensor,
        segment_ids: Tensor | None = None,
        history: Tensor | None = None,
        padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Convolves `x`."""
        check_rank(self, "x", x.shape, 3, "[batch, time, channels]")
        if padding_mask is not None:
            x = x * ops.cast(padding_mask, x.dtype)[:, :, None]
        length = ops.shape(x)[1]
        if history is None:
            padded = ops.pad(x, ((0, 0), (self.kernel_size - 1, 0), (0, 0)))
        else:
            padded = ops.concatenate([ops.cast(history, x.dtype), x], axis=1)
        if x.shape[1] == 1 and segment_ids is None:
            # A decoding step. XLA would compute the sum below again for every key of attention.
            taps = ops.stack([ops.cast(tap, x.dtype) for tap in self.taps[::-1]])
            return ops.sum(padded * taps, axis=1, keepdims=True)
        if (
            segment_ids is None
            and keras.backend.backend() == "tensorflow"
            and not compiled_by_xla()
        ):
            # Measured on CPUs, with the gradient, at 8 x 512 x 512: this takes 6 ms and the sum
            # below 30 ms; compiled by XLA they take 126 ms and 13 ms.
            taps = [ops.reshape(ops.cast(tap, x.dtype), (1, -1, 1)) for tap in self.taps[::-1]]
            return ops.depthwise_conv(padded, ops.concatenate(taps, axis=0), padding="valid")
        y = x * ops.cast(self.taps[0], x.dtype)
        if segment_ids is not None:
            padding = ((0, 0), (self.kernel_size - 1, 0))
            padded_ids = ops.pad(segment_ids, padding, constant_values=-1)
        for shift in range(1, self.kernel_size):
            start = self.kernel_size - 1 - shift
            earlier = padded[:, start : start + length]
            if segment_ids is not None:
                same = ops.equal(padded_ids[:, start : start + length], segment_ids)
                earlier = earlier * ops.cast(same, x.dtype)[:, :, None]
            y = y + earlier * ops.cast(self.taps[shift], x.dtype)
        return y

    def compute_output_spec(self, x: Tensor, **kwargs: Any) -> keras.KerasTensor:
        """Returns the spec of the output, which has the shape of `x`."""
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        initializer = self.kernel_initializer
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "kernel_initializer": initializer and keras.initializers.serialize(initializer),
        }


def extend_history(
    history: Tensor, x: Tensor, index: int | Tensor, kernel_size: int
) -> tuple[Tensor, Tensor]:
    """Writes the inputs of a convolution into its cache, and reads the inputs before them.

    Args:
        history: `[B, kernel_size - 1 + S, C]`, the cache. The input at position `i` is in row
            `i + kernel_size - 1`, after rows of zeros.
        x: `[B, T, C]`, the inputs at the positions `index` to `index + T - 1`.
        index: Position of the first input, an integer, a scalar tensor or `[B]`.
        kernel_size: Width of the convolution.

    Returns:
        `(before, history)`: the inputs just before `x`, `[B, kernel_size - 1, C]`, and the cache
        with `x` in it.
    """
    history = write_cache(history, x, index + kernel_size - 1)
    # The read comes after the write, which can then be done in place.
    return read_cache(history, index, kernel_size - 1), history
