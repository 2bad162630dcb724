"""Makes Mesh TensorFlow's causal separable convolutions decode what they were trained to compute.

The Evolved Transformer's decoder is made of them. In training, inputs where the id is 0 count as
zero, and the first position of a sequence is one of them; in decoding Mesh TensorFlow leaves them
as they are. The history it takes from a prompt also loses what lies nearer to the end of the
sequence than the filter is long, and cannot be taken at all where both have one length.
"""

import functools

import mesh_tensorflow as mtf
import tensorflow.compat.v1 as tf


def repair(transformer_layers):
    """Replaces what is wrong in `mesh_tensorflow.transformer.transformer_layers`."""
    transformer_layers.Conv1D.record_states_first_part_mode = _record_history
    separable = transformer_layers.SeparableConv1DLayer
    separable.call = _with_masked_input(separable.call)


def _record_history(layer, context, x, filter_size, length_dim_name="length"):
    """Records the inputs at the `filter_size` positions before the first that is decoded.

    Args:
      layer: a `Conv1D`.
      context: a `transformer.Context` in "first_part" mode.
      x: a Tensor `[..., length, channels]`.
      filter_size: an integer.
      length_dim_name: the name of the recorded dimension of size `filter_size`.
    """
    *batch, length, channels = x.shape.dims
    window = mtf.Dimension("window", filter_size)
    # Negative positions select nothing, and so give zeros.
    positions = context.initial_position - filter_size + mtf.range(x.mesh, window, tf.int32)
    history = mtf.gather(x, positions, length, output_shape=[*batch, window, channels])
    context.record_new_states([mtf.rename_dimension(history, window.name, length_dim_name)])


def _with_masked_input(call):
    @functools.wraps(call)
    def masked(layer, context, x, *args, **kwargs):
        from mesh_tensorflow.transformer import transformer

        if context.mode in ("first_part", "incremental"):
            ids = context.inputs
            if context.mode == "first_part":
                ids = transformer.autoregressive_inputs(ids)
            x *= mtf.cast(mtf.not_equal(ids, 0), x.dtype)
        return call(layer, context, x, *args, **kwargs)

    return masked
