"""Softmax cross-entropy straight from hidden states, without logits of all tokens at once."""

import keras
from keras import ops

from primer_tf.layers.precision import at_least_float32

# Logits held at once: 64 MiB in float32, enough rows for the matrix products to run at full speed.
CHUNK_ELEMENTS = 2**24


def softmax_cross_entropy(logits, targets, z_loss=0.0, label_smoothing=0.0):
    """Returns the cross-entropy of every token in nats.

    With `logZ` the log of the softmax's normalizer, a token costs `logZ - sum_v t[v] logit[v] +
    z_loss * logZ^2`. The target distribution `t` is one at the target but for `label_smoothing`,
    which is spread evenly over the vocabulary. Source: `softmax_cross_entropy_with_logits` and
    `Unitransformer._call_internal` of Mesh TensorFlow.

    Args:
        logits: `[..., V]`.
        targets: `[...]` integers.
        z_loss: Factor of the z-loss, which keeps `logZ` near zero.
        label_smoothing: Share of the target distribution that is spread evenly.

    Returns:
        `[...]`, in float32 or wider.
    """
    logits = at_least_float32(logits)
    return _losses(logits, _is_target(logits, targets), z_loss, label_smoothing)[0]


def linear_cross_entropy(
    hidden_states, embeddings, targets, weights, z_loss=0.0, label_smoothing=0.0
):
    """Sums `softmax_cross_entropy(hidden_states @ embeddings^T, targets)` over weighted tokens.

    The tokens are taken a chunk at a time, and the gradients are made beside the loss, while a
    chunk's logits exist: no more than a chunk of `[N, V]` is ever held, and no product is computed
    twice. Differentiable in `hidden_states` and `embeddings`, once.

    Args:
        hidden_states: `[N, C]`.
        embeddings: `[V, C]`, in float32 or wider; the products run in the type of `hidden_states`.
        targets: `[N]` integers.
        weights: `[N]`, zero on padding.
        z_loss: Factor of the z-loss.
        label_smoothing: Share of the target distribution that is spread evenly.

    Returns:
        `[2]`: the sum of the weighted losses, and the sum of the weights of those tokens whose
        target had the largest logit.
    """

    @ops.custom_gradient
    def sums(hidden_states, embeddings):
        count, (hidden, target, weight) = _chunks(hidden_states, embeddings, targets, weights)
        table = ops.cast(embeddings, hidden.dtype)

        def step(index, carry):
            total, hidden_gradient, table_gradient = carry
            x, w = hidden[index], weight[index]
            logits = at_least_float32(ops.einsum("nc,vc->nv", x, table))
            is_target = _is_target(logits, target[index])
            losses, normalizer, is_best = _losses(logits, is_target, z_loss, label_smoothing)
            w = ops.cast(w, logits.dtype)
            total = total + ops.stack([ops.sum(w * losses), ops.sum(w * is_best)])
            # d loss / d logit = softmax * (1 + 2 z_loss logZ) - t, as one pass over the logits.
            factor = w * (1.0 + 2.0 * z_loss * normalizer)
            gradient = ops.exp(logits - normalizer[:, None]) * factor[:, None]
            gradient = gradient - ops.where(is_target, (1.0 - label_smoothing) * w[:, None], 0.0)
            if label_smoothing:
                gradient = gradient - (label_smoothing / logits.shape[-1]) * w[:, None]
            gradient = ops.cast(gradient, x.dtype)
            x_gradient = ops.matmul(gradient, table)[None]
            hidden_gradient = ops.slice_update(hidden_gradient, (index, 0, 0), x_gradient)
            product = ops.einsum("nv,nc->vc", gradient, x)
            return total, hidden_gradient, table_gradient + ops.cast(product, embeddings.dtype)

        start = (_zero_sums(weights), ops.zeros_like(hidden), ops.zeros_like(embeddings))
        total, hidden_gradient, table_gradient = ops.fori_loop(0, count, step, start)

        def gradients(*args, upstream=None):
            scale = (args[0] if upstream is None else upstream)[0]
            by_token = ops.reshape(hidden_gradient, (-1, hidden.shape[-1]))
            by_token = by_token[: ops.shape(hidden_states)[0]]
            return (
                by_token * ops.cast(scale, by_token.dtype),
                table_gradient * ops.cast(scale, table_gradient.dtype),
            )

        return total, gradients

    # A variable would be taken for one that the function itself uses; its value is not.
    return sums(hidden_states, ops.reshape(embeddings, embeddings.shape))


def token_losses(hidden_states, embeddings, targets, z_loss=0.0, label_smoothing=0.0):
    """The losses of `linear_cross_entropy`, token by token, without its gradient.

    Args:
        hidden_states: `[N, C]`.
        embeddings: `[V, C]`.
        targets: `[N]` integers.
        z_loss: Factor of the z-loss.
        label_smoothing: Share of the target distribution that is spread evenly.

    Returns:
        `([N], [N])`: the losses, and one where the target had the largest logit, else zero.
    """
    _, (hidden, target, _) = _chunks(hidden_states, embeddings, targets, targets)
    table = ops.cast(embeddings, hidden.dtype)

    def step(chunk):
        x, y = chunk
        logits = at_least_float32(ops.einsum("nc,vc->nv", x, table))
        losses, _, is_best = _losses(logits, _is_target(logits, y), z_loss, label_smoothing)
        return losses, is_best

    tokens = ops.shape(hidden_states)[0]
    return [ops.reshape(part, (-1,))[:tokens] for part in ops.map(step, (hidden, target))]


def _chunks(hidden_states, embeddings, targets, weights):
    """Returns the number of chunks, and the inputs as `[chunks, tokens, ...]`, zeros at the end."""
    tokens, channels = ops.shape(hidden_states)
    largest = max(1, CHUNK_ELEMENTS // embeddings.shape[0])
    count = -(-tokens // largest)
    length = -(-tokens // count)
    missing = count * length - tokens
    hidden = ops.pad(hidden_states, ((0, missing), (0, 0)))
    vectors = (ops.pad(vector, ((0, missing),)) for vector in (targets, weights))
    return count, (
        ops.reshape(hidden, (count, length, channels)),
        *(ops.reshape(vector, (count, length)) for vector in vectors),
    )


def _zero_sums(weights):
    dtype = keras.backend.standardize_dtype(weights.dtype)
    return ops.zeros((2,), dtype="float64" if dtype == "float64" else "float32")


def _is_target(logits, targets):
    # A comparison fuses into what uses it; a gather would scatter in the gradient, which is slow.
    classes = ops.arange(logits.shape[-1], dtype="int32")
    return ops.equal(classes, ops.cast(targets, "int32")[..., None])


def _losses(logits, is_target, z_loss, label_smoothing):
    """Returns losses, log normalizers, and one where the target's logit is the largest."""
    largest = ops.max(logits, axis=-1)
    normalizer = ops.log(ops.sum(ops.exp(logits - largest[..., None]), axis=-1)) + largest
    target_logit = ops.sum(ops.where(is_target, logits, 0.0), axis=-1)
    losses = normalizer - (1.0 - label_smoothing) * target_logit
    if label_smoothing:
        losses = losses - label_smoothing / logits.shape[-1] * ops.sum(logits, axis=-1)
    if z_loss:
        losses = losses + z_loss * ops.square(normalizer)
    return losses, normalizer, ops.cast(ops.greater_equal(target_logit, largest), logits.dtype)
