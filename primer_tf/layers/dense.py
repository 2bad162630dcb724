"""Dense layer with int8 weights that a decoding loop reads fast."""

import math
from collections.abc import Callable, Collection
from typing import Any

import keras
from keras import ops

from primer_tf.layers.layer import LayerMixin
from primer_tf.layers.precision import at_least_float32
from primer_tf.layers.xla import compiled_by_xla
from primer_tf.types import DType, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class Dense(LayerMixin, keras.layers.Dense):
    """`keras.layers.Dense` with another form of the int8 product for decoding loops.

    Args:
        *args: Arguments of `keras.layers.Dense`.
        **kwargs: Arguments of `keras.layers.Dense`.

    Example:

    >>> import numpy as np
    >>> from primer_tf.layers.dense import Dense
    >>> layer = Dense(16)
    >>> layer.build((None, None, 8))
    >>> layer.quantize("int8")
    >>> rows = layer.decoding_weights()
    >>> tuple(layer.project(np.ones((1, 1, 8), "float32"), rows).shape)
    (1, 1, 16)
    """

    def decoding_weights(self) -> Tensor | None:
        """Returns the rows for `int8_product`, `[N, C]`, or `None` if it is no faster."""
        return ops.transpose(self.kernel) if gains_from_int8_product(self) else None

    def project(self, inputs: Tensor, rows: Tensor | None = None) -> Tensor:
        """Applies the layer, and to a single vector by `int8_product` if there are rows for it.

        Args:
            inputs: `[..., C]`.
            rows: `[N, C]` int8, the result of `decoding_weights`. Defaults to `None`.

        Returns:
            `[..., N]`.
        """
        if rows is None:
            return self(inputs)

        def project_vector() -> Tensor:
            x = int8_product(inputs, rows, self.kernel_scale, self.inputs_quantizer)
            if self.bias is not None:
                x = ops.add(x, self.bias)
            return x if self.activation is None else self.activation(x)

        return if_one_vector(inputs, project_vector, lambda: self(inputs))

    def load_own_variables(self, store: Any) -> None:
        """Loads the weights. Those of LoRA then add nothing, and can be trained."""
        first = ops.convert_to_numpy(self.lora_kernel_a) if self.lora_enabled else None
        super().load_own_variables(store)
        if first is not None:
            # Keras makes both matrices zero, where neither has a gradient.
            self.lora_kernel_a.assign(first)

    def quantize(
        self, mode: str | None = None, type_check: bool = True, config: Any = None
    ) -> None:
        """Quantizes the weights; see `keras.layers.Dense.quantize`."""
        # Keras refuses subclasses because they may compute something else, which this one does not.
        super().quantize(mode, type_check=False, config=config)


def join_kernels(layers: Collection[Dense], dtype: DType) -> Tensor | None:
    """Returns the kernels of dense layers side by side, `[C, sum of N]`, or `None` if quantized."""
    if any(layer.quantization_mode is not None for layer in layers):
        return None
    return ops.concatenate([ops.cast(layer.kernel, dtype) for layer in layers], axis=-1)


def gains_from_int8_product(layer: keras.layers.Layer) -> bool:
    """Returns whether `int8_product` can replace a layer's own product and is faster."""
    return layer.quantization_mode == "int8" and not layer.lora_enabled and compiled_by_xla()


def if_one_vector(x: Tensor, yes: Callable[[], Tensor], no: Callable[[], Tensor]) -> Tensor:
    """Calls one of two functions.

    Args:
        x: `[..., C]`. XLA knows its shape when it compiles, even if it is not known before.
        yes: What to call if `x` is `[1, ..., 1, C]`.
        no: What to call otherwise.

    Returns:
        What the function returned.
    """
    sizes = x.shape[:-1]
    if None not in sizes:
        return yes() if math.prod(sizes) == 1 else no()
    return ops.cond(ops.equal(ops.size(x), x.shape[-1]), yes, no)


def int8_product(
    x: Tensor, rows: Tensor, scale: Tensor, inputs_quantizer: keras.Quantizer | None = None
) -> Tensor:
    """Multiplies one vector by int8 weights, `x @ rows^T / scale`, reading one byte per weight.

    It gives Keras' own product except for rounding: `x` is scaled back to floats before the sum
    instead of after it. In a loop, XLA would convert the weights of Keras' form before the loop and
    so read four bytes per weight.

    Args:
        x: `[1, ..., 1, C]`.
        rows: `[N, C]` int8, the weights.
        scale: `[N]`, the factors that the weights were multiplied by.
        inputs_quantizer: A `keras.Quantizer` for `x`. Defaults to no quantization.

    Returns:
        `[1, ..., 1, N]`.
    """
    # Zero unless `x` has NaN, which makes the result NaN anyway. XLA cannot know this before the
    # loop, and so converts the weights where they are multiplied.
    zero = ops.cast(ops.any(ops.isnan(x)), "int8")
    vector = at_least_float32(x)
    if inputs_quantizer is not None:
        quantized, inputs_scale = inputs_quantizer(vector)
        # XLA computes a division once. Without it, XLA would repeat the rounding for every output.
        vector = ops.cast(quantized, vector.dtype) / inputs_scale
    weights = ops.cast(ops.bitwise_xor(rows, zero), vector.dtype)
    y = ops.matmul(vector, ops.transpose(weights))
    return ops.cast(y / ops.cast(scale, y.dtype), x.dtype)
