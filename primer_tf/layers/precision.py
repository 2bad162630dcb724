"""Float32 where half precision is not enough."""

import keras
from keras import ops

from primer_tf.types import Tensor


def float32_or_wider(x: Tensor) -> str:
    """Returns `"float64"` if that is the dtype of `x`, else `"float32"`."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    return "float64" if dtype == "float64" else "float32"


def at_least_float32(x: Tensor) -> Tensor:
    """Returns `x` in float32 if it has half precision, else `x` itself."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    return ops.cast(x, "float32") if dtype in ("float16", "bfloat16") else x
