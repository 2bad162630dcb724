"""Layer normalization that trains in less memory."""

import keras

from primer_tf.layers.centred_normalization import centred_normalization
from primer_tf.layers.layer import LayerMixin


@keras.saving.register_keras_serializable(package="primer_tf")
class LayerNormalization(LayerMixin, keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` over the last axis, by `centred_normalization`.

    Args:
        epsilon: Added to the variance.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:

    >>> LayerNormalization()(keras.random.normal((2, 5, 16))).shape
    """

    def __init__(self, epsilon=1e-6, **kwargs):
        super().__init__(epsilon=epsilon, **kwargs)

    def call(self, inputs):
        """Normalizes `[..., C]` over `C`."""
        outputs = centred_normalization(inputs, self.gamma, self.beta, self.epsilon)
        return keras.ops.cast(outputs, self.compute_dtype)

    def get_config(self):
        """Returns the constructor arguments."""
        config = keras.layers.Layer.get_config(self)
        return {**config, "epsilon": self.epsilon}
