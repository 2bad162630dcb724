"""Where half precision is not enough."""

import keras
from keras import ops


def float32_or_wider(x):
    """Returns the name of the dtype of `x`, or `"float32"` if that is narrower."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    return "float64" if dtype == "float64" else "float32"


def at_least_float32(x):
    """Returns `x` in float32 if its dtype is narrower, else `x` itself."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    return ops.cast(x, "float32") if dtype in ("float16", "bfloat16") else x
