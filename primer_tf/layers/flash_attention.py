"""cuDNN's flash attention on the JAX backend, where it computes what query blocks compute."""

from collections.abc import Callable

import keras
from keras import ops

from primer_tf._compat import supports_flash_attention
from primer_tf.layers.t5_relative_position_bias import skew_distances
from primer_tf.types import Tensor

# cuDNN reads the bias of each query and key. In half precision this many take 512 MiB.
LARGEST_BIAS = 2**28


def can_use_flash_attention(query: Tensor) -> bool:
    """Returns whether `flash_attention` can run.

    It needs the JAX backend, half precision, an NVIDIA GPU for which Keras has flash attention, and
    lengths whose matrix of biases is not too large. `keras.config.disable_flash_attention()` rules
    it out, and so does a `keras.distribution`, with which it was never tried.

    Args:
        query: `[B, H, T, D]`.
    """
    _, heads, length, _ = query.shape
    return (
        keras.backend.backend() == "jax"
        and keras.backend.standardize_dtype(query.dtype) in ("float16", "bfloat16")
        and keras.config.is_flash_attention_enabled() is not False
        and keras.distribution.distribution() is None
        and heads * length**2 <= LARGEST_BIAS
        and supports_flash_attention(query.shape, query.dtype)
    )


def flash_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    distance_bias: Tensor,
    padding_mask: Tensor | None,
    in_blocks: Callable[..., Tensor],
) -> Tensor:
    """Attends as `causal_attention` does, by `keras.ops.dot_product_attention`.

    That knows no mask of keys, and needs none if padding is on the right only: no real token sees
    it. A batch with other padding is given to `in_blocks` instead.

    Args:
        query: `[B, H, T, D]`.
        key: `[B, H, T, D]`.
        value: `[B, H, T, D]`.
        distance_bias: `[H, R]`, the bias of each distance from query to key.
        padding_mask: `[B, T]`, true at keys that may be attended to, or `None`.
        in_blocks: Function of the other arguments that does the same with any mask.

    Returns:
        `[B, H, T, D]`, at real positions.
    """
    import jax

    def flash(query, key, value, bias):
        length = query.shape[2]
        matrix = skew_distances(bias, length, length)[None]
        positions_first = (ops.transpose(x, (0, 2, 1, 3)) for x in (query, key, value))
        output = ops.dot_product_attention(
            *positions_first, bias=matrix, scale=1.0, is_causal=True, flash_attention=True
        )
        return ops.transpose(output, (0, 2, 1, 3))

    if padding_mask is None:
        return flash(query, key, value, distance_bias)

    def chosen(mask, functions, *inputs):
        on_the_right = ops.all(mask[:, 1:] <= mask[:, :-1])
        return jax.lax.cond(on_the_right, *functions, *inputs)

    @jax.custom_vjp
    def attend(mask, *inputs):
        return chosen(mask, (flash, lambda *inputs: in_blocks(*inputs, mask)), *inputs)

    def forward(mask, *inputs):
        return attend(mask, *inputs), (mask, inputs)

    # The chosen function runs again. The gradient of `jax.lax.cond` itself would write copies of
    # all inputs, once for each of the two functions.
    def backward(kept, upstream):
        mask, inputs = kept

        def pull_back(function):
            return lambda *inputs: jax.vjp(function, *inputs)[1](upstream)

        blocks = pull_back(lambda *inputs: in_blocks(*inputs, mask))
        return (None, *chosen(mask, (pull_back(flash), blocks), *inputs))

    attend.defvjp(forward, backward)
    return attend(ops.cast(padding_mask, "int32"), query, key, value, distance_bias)
