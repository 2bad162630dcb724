"""Normalization over the channels, with a gradient that keeps one tensor."""

from keras import ops

from primer_tf.layers.precision import at_least_float32
from primer_tf.types import Tensor


def centred_normalization(
    x: Tensor, scale: Tensor, bias: Tensor, epsilon: float, pseudo_variance: bool = False
) -> Tensor:
    """Returns `z * scale + bias` with `z = (x - m) / sqrt(variance + epsilon)` and `m = mean(x)`.

    The gradient needs `z` alone, a third of what differentiating each operation by itself would
    keep. The result can be differentiated once, in the first three arguments.

    Args:
        x: `[..., C]`.
        scale: `[C]`.
        bias: `[C]`.
        epsilon: Number that is added to the variance.
        pseudo_variance: Whether the variance is `mean(x * (x - m))` instead of `mean((x - m)^2)`,
            which differs by rounding only, as does the gradient. Defaults to `False`.

    Returns:
        Tensor of the shape and dtype of `x`, computed in float32 or wider.
    """

    @ops.custom_gradient
    def normalize(x, scale, bias):
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean((x if pseudo_variance else centred) * centred, axis=-1, keepdims=True)
        inverse = ops.rsqrt(variance + epsilon)
        z = centred * inverse

        def gradients(*args, upstream=None):
            dy = args[0] if upstream is None else upstream
            dz = dy * scale
            by_channel = dy * z
            along_z = ops.mean(by_channel * scale, axis=-1, keepdims=True)
            dx = inverse * (dz - ops.mean(dz, axis=-1, keepdims=True) - z * along_z)
            tokens = tuple(range(len(x.shape) - 1))
            return dx, ops.sum(by_channel, axis=tokens), ops.sum(dy, axis=tokens)

        return z * scale + bias, gradients

    # Half precision has too few digits for means and for the cancellation in x * (x - m). The
    # values and not the variables, which would be taken for ones that the function itself uses.
    wide = at_least_float32(x)
    scale, bias = (ops.cast(ops.convert_to_tensor(v), wide.dtype) for v in (scale, bias))
    return ops.cast(normalize(wide, scale, bias), x.dtype)
