"""The normalizations of a decoder, by name."""

from typing import Any

import keras

from primer_tf.layers.layer_normalization import LayerNormalization
from primer_tf.layers.primer_normalization import PrimerNormalization

NORMALIZATIONS = {
    "layer": LayerNormalization,
    "rms": keras.layers.RMSNormalization,
    "primer": PrimerNormalization,
}


def make_normalization(kind: str, **kwargs: Any) -> keras.layers.Layer:
    """Returns a normalization layer over the last axis, with T5's epsilon of 1e-6.

    Args:
        kind: `"layer"` (scale and bias), `"rms"` (scale) or `"primer"` (scale and bias).
        **kwargs: Arguments of `keras.layers.Layer`.

    Returns:
        A Keras layer.

    Raises:
        ValueError: `kind` is unknown.
    """
    if kind not in NORMALIZATIONS:
        raise ValueError(
            f"Unknown normalization {kind!r}. Known ones: {', '.join(NORMALIZATIONS)}."
        )
    return NORMALIZATIONS[kind](epsilon=1e-6, **kwargs)
