"""Primer's own normalization."""

from typing import Any

import keras

from primer_tf.layers.centred_normalization import centred_normalization
from primer_tf.layers.layer import Layer
from primer_tf.types import Config, Shape, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerNormalization(Layer):
    """Normalization found by the Primer search (Primer, appendix "Custom normalization").

    `y = z * scale + bias` with `z = (x - m) / sqrt(mean(x * (x - m)) + epsilon)` and `m = mean(x)`
    over the channels; scale and bias are learned. In exact arithmetic `mean(x * (x - m))` is the
    variance. In floating point it is not if means are large, and it is kept because trained weights
    depend on it.

    Args:
        epsilon: Number that is added to the pseudo-variance. Defaults to 1e-6.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[..., C]`.

    Returns:
        Tensor of the shape of `x`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from primer_tf.layers import PrimerNormalization
    >>> y = PrimerNormalization()(np.array([[1.0, 3.0]], "float32"))
    >>> keras.ops.convert_to_numpy(y).round(3).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(self, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        """Creates scale and bias for the last axis."""
        self.scale = self.add_weight(name="scale", shape=input_shape[-1:], initializer="ones")
        self.bias = self.add_weight(name="bias", shape=input_shape[-1:], initializer="zeros")

    def call(self, x: Tensor) -> Tensor:
        """Normalizes `x` over its last axis."""
        return centred_normalization(x, self.scale, self.bias, self.epsilon, pseudo_variance=True)

    def compute_output_spec(self, x: Tensor, **kwargs: Any) -> keras.KerasTensor:
        """Returns the spec of the output, which has the shape of `x`."""
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {**super().get_config(), "epsilon": self.epsilon}
