"""Beam search that continues prompts, for decoder-only models.

Mesh TensorFlow's language models decode greedily or by sampling; its beam search starts from
nothing, and is used by encoder-decoder models.
"""

import copy

import gin
import mesh_tensorflow as mtf
import tensorflow.compat.v1 as tf

# More than any sum of log probabilities, and still exact beside them in float32.
_IMPOSSIBLE = -1e9


@gin.configurable(module="primer_tf.mesh")
def beam_search_continuation(
    model, features, variable_dtype, beam_size=4, alpha=0.6, decode_length=gin.REQUIRED
):
    """Continues each prompt with the best beam; a value for `utils.run.predict_fn`.

    The search runs over prompt and continuation with the prompt's tokens forced, so prompts of
    different lengths share a batch, and layers need no state but their own.

    Args:
      model: a `transformer.Unitransformer`.
      features: a dictionary whose `"inputs"` is an int32 Tensor `[batch, length]` of prompts,
        padded with zeros.
      variable_dtype: an `mtf.VariableDType`.
      beam_size: an integer.
      alpha: a float, the exponent of the length penalty.
      decode_length: an integer, how many tokens to add at most.

    Returns:
      An int32 Tensor `[batch, decode_length]`: the continuations alone.
    """
    length_name = features["inputs"].shape.dims[-1].name
    prompts = mtf.pad(features["inputs"], [0, decode_length], length_name)
    batch, length = prompts.shape.dims
    beam = mtf.Dimension("beam", beam_size)
    sequences = forcing(model, prompts).beam_search(
        mtf.zeros(prompts.mesh, [batch, beam, length], dtype=tf.int32),
        mtf.constant(prompts.mesh, length.size, dtype=tf.int32),
        variable_dtype=variable_dtype,
        alpha=alpha,
    )
    prompt_length = mtf.reduce_sum(mtf.to_int32(mtf.not_equal(prompts, 0)), reduced_dim=length)
    continuations = mtf.dynamic_shift(sequences, -prompt_length, length, wrap=False)
    return mtf.slice(continuations, 0, decode_length, length_name)


def forcing(model, prompts):
    """Returns `model` with every decoding step inside a prompt made certain of its next token."""
    call = model._call_internal
    length = prompts.shape.dims[-1]

    def call_forced(context, inputs, targets=None):
        logits = call(context, inputs, targets)
        if context.mode != "incremental":
            return logits
        vocab = logits.shape.dims[-1]
        token = mtf.gather(prompts, context.position, length)
        inside = mtf.cast(mtf.not_equal(token, 0), logits.dtype)
        other = 1.0 - mtf.one_hot(token, vocab, dtype=logits.dtype)
        return logits * (1.0 - inside) + other * inside * _IMPOSSIBLE

    forced = copy.copy(model)
    forced._call_internal = call_forced
    return forced
