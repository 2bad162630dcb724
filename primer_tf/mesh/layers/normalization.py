"""Primer's normalization (paper, appendix A.3)."""

import mesh_tensorflow as mtf
import tensorflow.compat.v1 as tf

from primer_tf.mesh.layers.published_name import published_name


@published_name
def sublayer_prime_norm(x, layer_stack, context, epsilon=1e-6, name="primer_norm"):
    """Normalizes over the model dimension.

    With `m = mean(x)`: `z = (x - m) / sqrt(mean(x * (x - m)) + epsilon)`, then a learned scale and
    bias. In exact arithmetic the mean under the root is the variance. In floating point the two
    differ slightly, so the published form is kept.

    Args:
      x: A Tensor `[..., d_model]`.
      layer_stack: Not used.
      context: A `transformer.Context`.
      epsilon: The constant added under the root, 1e-6 by default.
      name: The outer variable scope, "primer_norm" by default.

    Returns:
      A Tensor of the shape of `x`.
    """
    del layer_stack
    dim = context.model.model_dim
    with tf.variable_scope(f"{name}/layer_prepostprocess/primer_norm"):
        scale, bias = (
            mtf.get_variable(
                x.mesh,
                f"primer_norm_{part}",
                mtf.Shape([dim]),
                initializer=initializer,
                activation_dtype=x.dtype,
            )
            for part, initializer in (
                ("scale", tf.ones_initializer()),
                ("bias", tf.zeros_initializer()),
            )
        )
    centered = x - mtf.reduce_mean(x, reduced_dim=dim)
    pseudo_variance = mtf.reduce_mean(x * centered, reduced_dim=dim)
    return centered * mtf.rsqrt(pseudo_variance + epsilon) * scale + bias
