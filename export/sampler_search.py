"""Completions by a sampler that chooses among several texts, such as beam search."""

import tensorflow as tf

from primer_tf.models import PrimerCausalLM


def complete_by_sampler(
    model: PrimerCausalLM, token_ids: tf.RaggedTensor, max_length: int, end_token_id: int
) -> tf.RaggedTensor:
    """Completes prompts with the sampler of a model.

    Args:
        model: A compiled `PrimerCausalLM`.
        token_ids: Ragged `[B, T]` integers, the prompts with the start token.
        max_length: Number of tokens of prompt and completion.
        end_token_id: The token that ends a text.

    Returns:
        Ragged `[B, T]` integers, the prompts with their completions.
    """
    dense = token_ids.to_tensor(shape=[None, max_length])
    inputs = {
        "token_ids": tf.ensure_shape(dense, [None, max_length]),
        "padding_mask": tf.sequence_mask(token_ids.row_lengths(), max_length),
    }
    outputs = model.generate_step(inputs, stop_token_ids=[end_token_id])
    return tf.ragged.boolean_mask(outputs["token_ids"], outputs["padding_mask"])
