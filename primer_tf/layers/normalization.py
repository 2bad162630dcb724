"""The normalizations a decoder can be built with, by name."""

import keras

from primer_tf.layers.layer_normalization import LayerNormalization
from primer_tf.layers.primer_normalization import PrimerNormalization

NORMALIZATIONS = {
    "layer": LayerNormalization,
    "rms": keras.layers.RMSNormalization,
    "primer": PrimerNormalization,
}


def make_normalization(kind, **kwargs):
    """Returns a normalization layer over the last axis, with T5's epsilon of 1e-6.

    Args:
        kind: `"layer"` (scale and bias), `"rms"` (scale) or `"primer"` (scale and bias).
        **kwargs: Arguments of `keras.layers.Layer`.

    Returns:
        A Keras layer.

    Raises:
        ValueError: `kind` is none of these.
    """
    if kind not in NORMALIZATIONS:
        raise ValueError(
            f"Unknown normalization {kind!r}. Known ones: {', '.join(NORMALIZATIONS)}."
        )
    return NORMALIZATIONS[kind](epsilon=1e-6, **kwargs)
