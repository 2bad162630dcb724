"""Causal depthwise convolution over the sequence, exact in incremental decoding as well."""

import mesh_tensorflow as mtf
import tensorflow.compat.v1 as tf

from primer_tf.mesh.layers.published_name import published_name


@published_name
def causal_depthwise_conv(x, context, kernel_size=3):
    """Convolves each channel with its own kernel over the current and earlier positions.

    `y[t] = sum_i conv_i * x[t - i]`, where `x` is zero before the first position. The variables are
    `conv_0` (the current position, initially 0.5), `conv_1`, ... (initially 0.5 / kernel_size), in
    the caller's variable scope (paper, section 4).

    In incremental decoding the state contains the last `kernel_size - 1` inputs, so each step gives
    the same result as the full forward pass at that position.

    Args:
      x: A Tensor `[..., length, channels]`; `[..., channels]` in "incremental" mode.
      context: A `transformer.Context`.
      kernel_size: The number of positions in the kernel, 3 by default, or None for no convolution.

    Returns:
      A Tensor of the shape of `x`.

    Raises:
      ValueError: If `kernel_size` is less than 1.
    """
    if kernel_size is None:
        return x
    if kernel_size < 1:
        raise ValueError(f"kernel_size must be at least 1, got {kernel_size}.")
    kernel = [
        mtf.get_variable(
            context.mesh,
            f"conv_{distance}",
            mtf.Shape(context.model.ensemble_dims + x.shape.dims[-1:]),
            initializer=tf.constant_initializer(0.5 if distance == 0 else 0.5 / kernel_size),
            dtype=context.variable_dtype,
        )
        for distance in range(kernel_size)
    ]
    if context.mode == "incremental":
        earlier = context.get_states(kernel_size - 1)
        context.record_new_states([x, *earlier][: kernel_size - 1])
    else:
        length = x.shape.dims[-2]
        earlier = [mtf.shift(x, distance, length, wrap=False) for distance in range(1, kernel_size)]
        if context.mode == "first_part":
            # The inputs just before the first decoded position, most recent first. Positions
            # before the sequence select nothing and so give zeros.
            context.record_new_states(
                mtf.gather(
                    x,
                    context.initial_position - distance,
                    length,
                    output_shape=x.shape - length,
                )
                for distance in range(1, kernel_size)
            )
    return mtf.add_n([weight * value for weight, value in zip(kernel, [x, *earlier], strict=True)])
