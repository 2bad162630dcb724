"""Normalization over the channels, with a gradient that keeps one tensor."""

from keras import ops

from primer_tf.layers.precision import at_least_float32


def centred_normalization(x, scale, bias, epsilon, pseudo_variance=False):
    """Returns `z * scale + bias`, with `z = (x - m) / sqrt(variance + epsilon)`, `m = mean(x)`.

    The gradient needs no more than `z`; differentiating each operation by itself would keep three
    times as much. Differentiable in the first three arguments, once.

    Args:
        x: `[..., C]`.
        scale: `[C]`.
        bias: `[C]`.
        epsilon: Added to the variance.
        pseudo_variance: Whether the variance is `mean(x * (x - m))` instead of `mean((x - m)^2)`:
            the same number and the same gradient, but for rounding.

    Returns:
        Tensor of the shape and dtype of `x`; computed in float32 or wider.
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

    # Half precision has too few digits for means, and for the cancellation in x * (x - m). A
    # variable would be taken for one that the function itself uses; its value is not.
    wide = at_least_float32(x)
    scale, bias = (ops.cast(ops.convert_to_tensor(v), wide.dtype) for v in (scale, bias))
    return ops.cast(normalize(wide, scale, bias), x.dtype)
