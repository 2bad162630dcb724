"""cuDNN's flash attention on the JAX backend, where it computes what query blocks compute."""

import keras
from keras import ops

from primer_tf._compat import supports_flash_attention
from primer_tf.layers.t5_relative_position_bias import skew_distances
from primer_tf.types import Tensor

# cuDNN reads the bias of each query and key. In half precision this many take 512 MiB.
LARGEST_BIAS = 2**28
# It was tried with such lengths; with a bias, cuDNN has no gradient for odd ones.
LEAST_LENGTH, MULTIPLE = 128, 8


def can_use_flash_attention(query: Tensor) -> bool:
    """Returns whether `flash_attention` can run.

    It needs the JAX backend, half precision, an NVIDIA GPU for which Keras has flash attention, and
    at least 128 positions, a multiple of 8, whose matrix of biases is not too large.
    `keras.config.disable_flash_attention()` rules it out, and so does a `keras.distribution`, with
    which it was never tried.

    Args:
        query: `[B, H, T, D]`.
    """
    _, heads, length, _ = query.shape
    return (
        keras.backend.backend() == "jax"
        and keras.backend.standardize_dtype(query.dtype) in ("float16", "bfloat16")
        and keras.config.is_flash_attention_enabled() is not False
        and keras.distribution.distribution() is None
        and length >= LEAST_LENGTH
        and length % MULTIPLE == 0
        and heads * length**2 <= LARGEST_BIAS
        and supports_flash_attention(query.shape, query.dtype)
    )


def flash_attention(query: Tensor, key: Tensor, value: Tensor, distance_bias: Tensor) -> Tensor:
    """Attends as `causal_attention` does without masks, by `keras.ops.dot_product_attention`.

    Args:
        query: `[B, H, T, D]`.
        key: `[B, H, T, D]`.
        value: `[B, H, T, D]`.
        distance_bias: `[H, R]`, the bias of each distance from query to key.

    Returns:
        `[B, H, T, D]`.
    """
    length = query.shape[2]
    # In float32, because the gradient sums over all queries and keys of a distance.
    bias = skew_distances(ops.cast(distance_bias, "float32"), length, length)
    bias = ops.cast(bias, query.dtype)[None]
    positions_first = (ops.transpose(x, (0, 2, 1, 3)) for x in (query, key, value))
    output = ops.dot_product_attention(
        *positions_first, bias=bias, scale=1.0, is_causal=True, flash_attention=True
    )
    return ops.transpose(output, (0, 2, 1, 3))
