"""Primer's own normalization."""

import keras

from primer_tf.layers.centred_normalization import centred_normalization
from primer_tf.layers.layer import Layer


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerNormalization(Layer):
    """Normalization found by the Primer search (Primer, appendix "Custom normalization").

    With `m = mean(x)` over the channels, `z = (x - m) / sqrt(mean(x * (x - m)) + epsilon)`, then a
    learned scale and bias. In exact arithmetic `mean(x * (x - m))` is the variance; numerically it
    is not (large means cancel badly), and it is kept because trained weights depend on it.

    Args:
        epsilon: Added to the pseudo-variance.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        x: `[..., C]`.

    Returns:
        Tensor of the shape of `x`.

    Example:

    >>> PrimerNormalization()(keras.random.normal((2, 5, 16))).shape
    """

    def __init__(self, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape):
        """Creates scale and bias for the last axis."""
        self.scale = self.add_weight(name="scale", shape=input_shape[-1:], initializer="ones")
        self.bias = self.add_weight(name="bias", shape=input_shape[-1:], initializer="zeros")

    def call(self, x):
        """Normalizes `x` over its last axis."""
        return centred_normalization(x, self.scale, self.bias, self.epsilon, pseudo_variance=True)

    def compute_output_spec(self, x, **kwargs):
        """Returns the spec of the output, which has the shape of `x`."""
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def get_config(self):
        """Returns the constructor arguments."""
        return {**super().get_config(), "epsilon": self.epsilon}
