"""Beam search that continues prompts, for decoder-only models.

Mesh TensorFlow's language models decode greedily or by sampling. Its beam search is made for
encoder-decoder models and starts from an empty sequence.
"""

import copy
from collections.abc import Mapping

import gin
import mesh_tensorflow as mtf
import tensorflow.compat.v1 as tf
from mesh_tensorflow.transformer.transformer import Unitransformer

# Below any sum of log probabilities, yet small enough to be added to one in float32.
_IMPOSSIBLE = -1e9


@gin.configurable(module="primer_tf.mesh")
def beam_search_continuation(
    model: Unitransformer,
    features: Mapping[str, mtf.Tensor],
    variable_dtype: mtf.VariableDType,
    beam_size: int = 4,
    alpha: float = 0.6,
    decode_length: int = gin.REQUIRED,
) -> mtf.Tensor:
    """Continues each prompt with the best beam; a value for `utils.run.predict_fn`.

    The search covers prompt and continuation and forces the prompt's tokens. Prompts of different
    lengths can therefore share a batch, and the layers need no additional state.

    Args:
      model: A `transformer.Unitransformer`.
      features: A dictionary whose `"inputs"` is an int32 Tensor `[batch, length]` of prompts,
        padded with zeros.
      variable_dtype: An `mtf.VariableDType`.
      beam_size: The number of beams, 4 by default.
      alpha: The exponent of the length penalty, 0.6 by default.
      decode_length: The largest number of tokens to add.

    Returns:
      An int32 Tensor `[batch, decode_length]`: the continuations without their prompts.
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


def forcing(model: Unitransformer, prompts: mtf.Tensor) -> Unitransformer:
    """Returns a copy of `model` that decodes the tokens of the prompts where there are any."""
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
