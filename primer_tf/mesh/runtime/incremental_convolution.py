"""Makes Mesh TensorFlow's causal separable convolutions decode as they were trained.

The Evolved Transformer's decoder consists of them. Mesh TensorFlow has two faults:

- Training sets inputs to zero where the id is 0, as at the first position of a sequence. Decoding
  does not.
- Decoding takes the history of a prompt from too few positions near the end of the sequence, and
  fails if the filter is as long as the sequence.
"""

import functools
from collections.abc import Callable
from types import ModuleType

import mesh_tensorflow as mtf
import tensorflow.compat.v1 as tf


def repair(transformer_layers: ModuleType) -> None:
    """Replaces the faulty methods in `mesh_tensorflow.transformer.transformer_layers`."""
    transformer_layers.Conv1D.record_states_first_part_mode = _record_history
    separable = transformer_layers.SeparableConv1DLayer
    separable.call = _with_masked_input(separable.call)


def _record_history(layer, context, x, filter_size, length_dim_name="length"):
    """Records the inputs at the `filter_size` positions before the first decoded one.

    Args:
      layer: A `Conv1D`.
      context: A `transformer.Context` in "first_part" mode.
      x: A Tensor `[..., length, channels]`.
      filter_size: The number of positions to record.
      length_dim_name: The name of the recorded dimension of size `filter_size`.
    """
    *batch, length, channels = x.shape.dims
    window = mtf.Dimension("window", filter_size)
    # Negative positions select nothing and so give zeros.
    positions = context.initial_position - filter_size + mtf.range(x.mesh, window, tf.int32)
    history = mtf.gather(x, positions, length, output_shape=[*batch, window, channels])
    context.record_new_states([mtf.rename_dimension(history, window.name, length_dim_name)])


def _with_masked_input(call: Callable) -> Callable:
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
