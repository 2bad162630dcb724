"""Causal depthwise convolution over the sequence, exact in incremental decoding too."""

import mesh_tensorflow as mtf
import tensorflow.compat.v1 as tf

from primer_tf.mesh.layers.published_name import published_name


@published_name
def causal_depthwise_conv(x, context, kernel_size=3):
    """Convolves each channel with its own kernel over the current and earlier positions.

    `y[t] = sum_i conv_i * x[t - i]`, with positions before the first taken as zero. The variables
    are `conv_0` (the current position, initially 0.5), `conv_1`, ... (initially 0.5 / kernel_size),
    in the caller's variable scope (paper, section 4).

    In incremental decoding the last `kernel_size - 1` inputs are part of the decoding state, so
    that each step gives what the whole sequence would have given at that position.

    Args:
      x: a Tensor `[..., length, channels]`; `[..., channels]` in "incremental" mode.
      context: a `transformer.Context`.
      kernel_size: an integer, the number of positions seen, or None for no convolution.

    Returns:
      A Tensor of the shape of `x`.

    Raises:
      ValueError: if `kernel_size` is less than 1.
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
            # What the first decoded position will look back on, most recent first. Positions
            # before the sequence select nothing, and so give zeros.
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
