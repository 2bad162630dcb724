"""Dense layer whose int8 weights are read fast in decoding."""

import contextlib
import math

import keras
from keras import ops

from primer_tf.layers.layer import LayerMixin
from primer_tf.layers.precision import at_least_float32
from primer_tf.layers.xla import compiled_by_xla


@keras.saving.register_keras_serializable(package="primer_tf")
class Dense(LayerMixin, keras.layers.Dense):
    """`keras.layers.Dense`, with another form of the int8 product for decoding loops.

    Args:
        *args: Arguments of `keras.layers.Dense`.
        **kwargs: Arguments of `keras.layers.Dense`.

    Example:

    >>> layer = Dense(2048)
    >>> layer.build((None, None, 512))
    >>> layer.quantize("int8")
    >>> with layer.laid_out_for_decoding():
    ...     layer(keras.random.normal((1, 1, 512))).shape
    """

    _rows = None

    @contextlib.contextmanager
    def laid_out_for_decoding(self):
        """Inside, `int8_product` multiplies a vector; enter it outside of a decoding loop."""
        if gains_from_int8_product(self):
            self._rows = ops.transpose(self.kernel)
        try:
            yield
        finally:
            self._rows = None

    def quantized_call(self, inputs, training=None):
        """Applies the layer with quantized weights."""
        if self._rows is None or not is_one_vector(inputs):
            return super().quantized_call(inputs, training=training)
        x = int8_product(inputs, self._rows, self.kernel_scale, self.inputs_quantizer)
        if self.bias is not None:
            x = ops.add(x, self.bias)
        return x if self.activation is None else self.activation(x)

    def quantize(self, mode=None, type_check=True, config=None):
        """Quantizes the weights; see `keras.layers.Dense.quantize`."""
        # Keras declines subclasses, which may compute something else. This one does not.
        super().quantize(mode, type_check=False, config=config)


def gains_from_int8_product(layer):
    """Returns whether `int8_product` can replace a layer's own product, and would be faster."""
    return layer.quantization_mode == "int8" and not layer.lora_enabled and compiled_by_xla()


def is_one_vector(x):
    """Returns whether `x` is `[1, ..., 1, C]`."""
    return None not in x.shape[:-1] and math.prod(x.shape[:-1]) == 1


def int8_product(x, rows, scale, inputs_quantizer=None):
    """Multiplies one vector by int8 weights, `x @ rows^T / scale`, one byte read a weight.

    Keras' own product, but for rounding: `x` is quantized first, and scaled back before the sum
    instead of after. XLA turns Keras' form into four bytes a weight: it converts the weights before
    the loop that this runs in.

    Args:
        x: `[1, ..., 1, C]`.
        rows: `[N, C]` int8.
        scale: `[N]`, what the weights were multiplied by.
        inputs_quantizer: A `keras.Quantizer` of `x`. Optional.

    Returns:
        `[1, ..., 1, N]`.
    """
    # Not a number gives not a number anyway. XLA cannot know this zero before the loop, and so
    # converts the weights where they are multiplied.
    zero = ops.cast(ops.any(ops.isnan(x)), "int8")
    vector = at_least_float32(x)
    if inputs_quantizer is not None:
        quantized, inputs_scale = inputs_quantizer(vector)
        # XLA computes a division once. It would repeat the rounding for every output.
        vector = ops.cast(quantized, vector.dtype) / inputs_scale
    weights = ops.cast(ops.bitwise_xor(rows, zero), vector.dtype)
    y = ops.matmul(vector, ops.transpose(weights))
    return ops.cast(y / ops.cast(scale, y.dtype), x.dtype)
