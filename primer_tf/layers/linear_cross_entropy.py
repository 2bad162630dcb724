"""Softmax cross-entropy straight from hidden states, without logits of all tokens at once."""

import keras
from keras import ops

from primer_tf.layers.precision import at_least_float32

# Logits held at once: 128 MiB in float32, enough rows for the matrix products to run at full speed.
CHUNK_ELEMENTS = 2**25


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
    # A comparison, because the gradient of a gather is a scatter, which is slow.
    classes = ops.arange(logits.shape[-1], dtype="int32")
    is_target = ops.equal(classes, ops.cast(targets, "int32")[..., None])
    target_logit = ops.sum(ops.where(is_target, logits, 0.0), axis=-1)
    smooth = ops.mean(logits, axis=-1) if label_smoothing else None
    return _losses(ops.logsumexp(logits, axis=-1), target_logit, smooth, z_loss, label_smoothing)


def linear_cross_entropy(
    hidden_states,
    embeddings,
    targets,
    weights,
    z_loss=0.0,
    label_smoothing=0.0,
    chunk_elements=None,
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
        chunk_elements: Logits held at once; fewer take less memory and a little more time.
            Default: `CHUNK_ELEMENTS`.

    Returns:
        `[2]`: the sum of the weighted losses, and the sum of the weights of those tokens whose
        target had the largest logit.
    """

    @ops.custom_gradient
    def sums(hidden_states, embeddings):
        count, (hidden, target, weight) = _chunks(
            hidden_states, embeddings, targets, weights, chunk_elements
        )
        table = ops.cast(embeddings, hidden.dtype)
        table_sum = ops.sum(embeddings, axis=0)

        def step(index, carry):
            total, states, table_gradient = carry
            x, w = states[index], weight[index]
            losses, normalizer, is_best, powers, power_sum = _chunk_losses(
                x, table, table_sum, target[index], z_loss, label_smoothing
            )
            w = ops.cast(w, losses.dtype)
            total = total + ops.stack([ops.sum(w * losses), ops.sum(w * is_best)])
            # d loss / d logit = softmax * (1 + 2 z_loss logZ) - t. The first term here, its factor
            # on the small side of each product; the second outside, for all tokens together.
            factor = (w * (1.0 + 2.0 * z_loss * normalizer) / power_sum)[:, None]
            powers = ops.cast(powers, x.dtype)
            x_gradient = ops.cast(factor * at_least_float32(ops.matmul(powers, table)), x.dtype)
            scaled = ops.cast(factor * at_least_float32(x), x.dtype)
            product = ops.einsum("nv,nc->vc", powers, scaled)
            table_gradient = table_gradient + ops.cast(product, embeddings.dtype)
            # In the place of the states, and tied to the table's gradient: the next chunk then
            # waits for both products of this one.
            x_gradient = x_gradient + 0.0 * ops.cast(table_gradient[0, 0], x.dtype)
            states = ops.slice_update(states, (index, 0, 0), x_gradient[None])
            return total, states, table_gradient

        w = ops.cast(weights, embeddings.dtype)[:, None]
        x = ops.cast(hidden_states, embeddings.dtype)
        at_target = (1.0 - label_smoothing) * w
        # Not from zeros, which TensorFlow would hold forever as a constant of this size.
        at_targets = ops.segment_sum(-at_target * x, targets, num_segments=embeddings.shape[0])
        start = (_zero_sums(weights), hidden, at_targets)
        total, hidden_gradient, table_gradient = ops.fori_loop(0, count, step, start)

        hidden_gradient = ops.reshape(hidden_gradient, (-1, hidden.shape[-1]))
        hidden_gradient = ops.cast(hidden_gradient[: ops.shape(x)[0]], embeddings.dtype)
        hidden_gradient = hidden_gradient - at_target * ops.take(embeddings, targets, axis=0)
        if label_smoothing:
            everywhere = label_smoothing / embeddings.shape[0] * w
            hidden_gradient = hidden_gradient - everywhere * table_sum
            table_gradient = table_gradient - ops.sum(everywhere * x, axis=0)
        hidden_gradient = ops.cast(hidden_gradient, hidden.dtype)

        def gradients(*args, upstream=None):
            scale = (args[0] if upstream is None else upstream)[0]
            return (
                hidden_gradient * ops.cast(scale, hidden_gradient.dtype),
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
    table_sum = ops.sum(embeddings, axis=0)

    def step(chunk):
        losses, _, is_best, _, _ = _chunk_losses(
            chunk[0], table, table_sum, chunk[1], z_loss, label_smoothing
        )
        return losses, is_best

    tokens = ops.shape(hidden_states)[0]
    return [ops.reshape(part, (-1,))[:tokens] for part in ops.map(step, (hidden, target))]


def _chunks(hidden_states, embeddings, targets, weights, chunk_elements=None):
    """Returns the number of chunks, and the inputs as `[chunks, tokens, ...]`, zeros at the end."""
    tokens, channels = ops.shape(hidden_states)
    largest = max(1, (chunk_elements or CHUNK_ELEMENTS) // embeddings.shape[0])
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


def _chunk_losses(x, table, table_sum, target, z_loss, label_smoothing):
    """Returns losses, log normalizers, one where the target's logit is the largest, the powers
    `exp(logit - largest logit)`, `[N, V]`, and their sums.

    Not to be differentiated.
    """
    logits = at_least_float32(ops.einsum("nc,vc->nv", x, table))
    tokens, classes = ops.shape(logits)[0], logits.shape[-1]
    places = ops.arange(tokens, dtype="int32") * classes + ops.cast(target, "int32")
    target_logit = ops.take(ops.reshape(logits, (-1,)), places)
    largest = ops.max(logits, axis=-1)
    powers = ops.exp(logits - largest[:, None])
    power_sum = ops.sum(powers, axis=-1)
    normalizer = ops.log(power_sum) + largest
    smooth = None
    if label_smoothing:
        smooth = ops.sum(ops.cast(x, table_sum.dtype) * table_sum, axis=-1) / classes
    losses = _losses(normalizer, target_logit, smooth, z_loss, label_smoothing)
    is_best = ops.cast(ops.greater_equal(target_logit, largest), logits.dtype)
    return losses, normalizer, is_best, powers, power_sum


def _losses(normalizer, target_logit, mean_logit, z_loss, label_smoothing):
    losses = normalizer - (1.0 - label_smoothing) * target_logit
    if label_smoothing:
        losses = losses - label_smoothing * mean_logit
    if z_loss:
        losses = losses + z_loss * ops.square(normalizer)
    return losses
