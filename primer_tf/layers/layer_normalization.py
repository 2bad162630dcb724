"""Layer normalization that needs less memory in training."""

from typing import Any

import keras

from primer_tf.layers.centred_normalization import centred_normalization
from primer_tf.layers.layer import LayerMixin
from primer_tf.types import Config, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class LayerNormalization(LayerMixin, keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` over the last axis, by `centred_normalization`.

    Args:
        epsilon: Number that is added to the variance. Defaults to 1e-6.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: `[..., C]`.

    Returns:
        `[..., C]`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from primer_tf.layers.layer_normalization import LayerNormalization
    >>> y = LayerNormalization()(np.array([[1.0, 3.0]], "float32"))
    >>> keras.ops.convert_to_numpy(y).round(3).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(self, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(epsilon=epsilon, **kwargs)

    def call(self, inputs: Tensor) -> Tensor:
        """Normalizes `[..., C]` over `C`."""
        outputs = centred_normalization(inputs, self.gamma, self.beta, self.epsilon)
        return keras.ops.cast(outputs, self.compute_dtype)

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        config = keras.layers.Layer.get_config(self)
        return {**config, "epsilon": self.epsilon}
