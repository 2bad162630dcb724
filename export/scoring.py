"""Log likelihoods of given tokens, and hidden states."""

from typing import NamedTuple

import tensorflow as tf

from primer_tf.layers.argmax import argmax
from primer_tf.models import PrimerCausalLM
from primer_tf.types import Tensor

# Logits that are held at a time: 32 MiB in float32.
CHUNK_ELEMENTS = 2**23


class TokenScores(NamedTuple):
    """How probable the tokens of texts are.

    Attributes:
        log_probabilities: `[B, N]`, in nats, zero after a row's last token.
        is_greedy: `[B, N]` booleans, whether the token is the most probable one. True after the
            last.
        alternative_ids: `[B, N, A]`, the most probable tokens, zero after the last.
        alternative_log_probabilities: `[B, N, A]`.
    """

    log_probabilities: Tensor
    is_greedy: Tensor
    alternative_ids: Tensor
    alternative_log_probabilities: Tensor


def hidden_states(model: PrimerCausalLM, token_ids: Tensor) -> Tensor:
    """Returns the last hidden state of every position, `[B, T, C]`.

    Padding on the right of `[B, T]` ids changes nothing before it. With a cache, as here, experts
    have no limited capacity, so that a row does not depend on the others.
    """
    batch_size, length = tf.unstack(tf.shape(token_ids))
    cache = model.backbone.decoder.build_cache(batch_size, length)
    return model._extend_cache(token_ids, cache, 0)[0]


def score_tokens(
    model: PrimerCausalLM, token_ids: Tensor, is_scored: Tensor, num_alternatives: int = 0
) -> TokenScores:
    """Scores some tokens of texts, each given the tokens before it.

    Args:
        model: A `PrimerCausalLM`.
        token_ids: `[B, T]` integers, padded on the right.
        is_scored: `[B, T]` booleans, true at the tokens to score, which are successive and not the
            first of a row.
        num_alternatives: Number of most probable tokens to return, `A`. Defaults to 0.

    Returns:
        The `TokenScores`, with `N` the largest number of tokens to score in a row.
    """
    states = hidden_states(model, token_ids)
    index = tf.where(is_scored)
    # A token is predicted at the position before it.
    states = tf.gather_nd(states, index - [0, 1])
    targets = tf.gather_nd(token_ids, index)
    rows = max(1, CHUNK_ELEMENTS // model.backbone.vocabulary_size)
    count = tf.shape(targets)[0]

    def more(start: Tensor, *arrays: tf.TensorArray) -> Tensor:
        return start < count

    def score(start: Tensor, *arrays: tf.TensorArray) -> tuple:
        some = targets[start : start + rows]
        logits = tf.cast(model._logits(states[start : start + rows]), tf.float32)
        log_normalizer = tf.reduce_logsumexp(logits, axis=-1)
        top = tf.math.top_k(logits, num_alternatives)
        scores = TokenScores(
            tf.gather(logits, some, batch_dims=1) - log_normalizer,
            argmax(logits) == some,
            top.indices,
            top.values - log_normalizer[:, None],
        )
        pairs = zip(arrays, scores, strict=True)
        return start + rows, *(array.write(start // rows, value) for array, value in pairs)

    wide = [None, num_alternatives]
    specs = TokenScores(
        tf.TensorSpec([None], tf.float32),
        tf.TensorSpec([None], tf.bool),
        tf.TensorSpec(wide, tf.int32),
        tf.TensorSpec(wide, tf.float32),
    )
    arrays = [
        tf.TensorArray(
            spec.dtype, (count + rows - 1) // rows, infer_shape=False, element_shape=spec.shape
        )
        for spec in specs
    ]
    _, *arrays = tf.while_loop(more, score, (tf.constant(0), *arrays))
    lengths = tf.reduce_sum(tf.cast(is_scored, tf.int32), axis=1)
    after_end = TokenScores(0.0, True, 0, 0.0)
    return TokenScores(
        *(
            tf.RaggedTensor.from_row_lengths(array.concat(), lengths).to_tensor(value)
            for array, value in zip(arrays, after_end, strict=True)
        )
    )


def mean_and_last(
    model: PrimerCausalLM, token_ids: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns the mean hidden state of each text and the one of its last token.

    Args:
        model: A `PrimerCausalLM`.
        token_ids: `[B, T]` integers, each row a start token and a text, padded on the right.
        lengths: `[B]` integers, the lengths with the start token, at least 2.

    Returns:
        `(mean, last)`, both `[B, C]` in float32. The mean leaves out the start token.
    """
    states = tf.cast(hidden_states(model, token_ids), tf.float32)
    position = tf.range(tf.shape(token_ids)[1])
    is_text = (position > 0) & (position < lengths[:, None])
    total = tf.reduce_sum(tf.where(is_text[:, :, None], states, 0.0), axis=1)
    mean = total / tf.cast(lengths - 1, tf.float32)[:, None]
    return mean, tf.gather(states, lengths - 1, batch_dims=1)
