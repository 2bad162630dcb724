"""Softmax cross-entropy of hidden states, without holding the logits of all tokens."""

from collections.abc import Callable

import keras
from keras import ops

from primer_tf.layers.argmax import argmax
from primer_tf.layers.precision import at_least_float32, float32_or_wider
from primer_tf.layers.replicas import num_replicas
from primer_tf.types import Tensor

# Logits that a device holds at a time: 128 MiB in float32, enough rows for matrix products at full
# speed.
CHUNK_ELEMENTS = 2**25


def softmax_cross_entropy(
    logits: Tensor, targets: Tensor, z_loss: float = 0.0, label_smoothing: float = 0.0
) -> Tensor:
    """Returns the cross-entropy of every token in nats.

    With `logZ` the log of the softmax's normalizer, the loss of a token is
    `logZ - sum_v t[v] logit[v] + z_loss * logZ^2`. The target distribution `t` gives
    `1 - label_smoothing` to the target and spreads `label_smoothing` evenly over the vocabulary.
    Source: `softmax_cross_entropy_with_logits` and `Unitransformer._call_internal` of Mesh
    TensorFlow.

    Args:
        logits: `[..., V]`.
        targets: `[...]` integers.
        z_loss: Factor of the z-loss, which keeps `logZ` near zero. Defaults to 0.
        label_smoothing: Share of the target distribution that is spread evenly over the vocabulary,
            from 0 to 1. Defaults to 0.

    Returns:
        `[...]`, in float32 or wider; NaN where the target is none of the `V` classes.
    """
    logits = at_least_float32(logits)
    targets = ops.cast(targets, "int32")
    # A comparison and not a gather, whose gradient would be a slow scatter.
    classes = ops.arange(logits.shape[-1], dtype="int32")
    is_target = ops.equal(classes, targets[..., None])
    target_logit = ops.sum(ops.where(is_target, logits, _number(0.0, logits)), axis=-1)
    smooth = ops.sum(logits, axis=-1) / logits.shape[-1] if label_smoothing else None
    losses = _losses(ops.logsumexp(logits, axis=-1), target_logit, smooth, z_loss, label_smoothing)
    return _only_of_classes(losses, targets, logits.shape[-1])


def without_weightless(targets: Tensor, weights: Tensor) -> Tensor:
    """Returns the targets with class 0 where the weight is zero.

    Args:
        targets: `[...]` integers; any number is allowed where the weight is zero.
        weights: Weights that can be broadcast to the shape of `targets`.

    Returns:
        `[...]` integers.
    """
    return ops.where(ops.equal(weights, 0), ops.zeros_like(targets), targets)


def linear_cross_entropy(
    hidden_states: Tensor,
    embeddings: Tensor,
    targets: Tensor,
    weights: Tensor,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
    chunk_elements: int | None = None,
) -> Tensor:
    """Sums `softmax_cross_entropy(hidden_states @ embeddings^T, targets)` over weighted tokens.

    Tokens are processed in chunks, and the gradients are computed together with the loss, while the
    logits of a chunk exist. No more than a chunk of `[N, V]` is ever held, and no product is
    computed twice. The result can be differentiated once, in `hidden_states` and `embeddings`.

    Args:
        hidden_states: `[N, C]`.
        embeddings: `[V, C]`, in float32 or wider. Products run in the dtype of `hidden_states`.
        targets: `[N]` integers; any number is allowed where the weight is zero.
        weights: `[N]`, zero on padding.
        z_loss: Factor of the z-loss. Defaults to 0.
        label_smoothing: Share of the target distribution that is spread evenly over the vocabulary,
            from 0 to 1. Defaults to 0.
        chunk_elements: Number of logits that a device holds at a time; fewer take less memory and a
            little more time. Defaults to `CHUNK_ELEMENTS`.

    Returns:
        `[2]`: the sum of the weighted losses, NaN if a target with weight is no class, and the sum
        of the weights of all tokens whose target has the largest logit.
    """
    classes = embeddings.shape[0]
    targets = ops.cast(without_weightless(targets, weights), "int32")
    # Beyond the table, a gather raises an error or gives NaN or a number, depending on the backend.
    rows = ops.clip(targets, 0, classes - 1)

    @ops.custom_gradient
    def sums(hidden_states, embeddings):
        count, (hidden, target, weight) = _chunks(
            (hidden_states, targets, weights), classes, chunk_elements
        )
        table = ops.cast(embeddings, hidden.dtype)
        table_sum = ops.sum(embeddings, axis=0)

        def step(index, carry):
            total, states, table_gradient = carry
            x, w = states[index], weight[index]
            product = ops.einsum("nc,vc->nv", x, table)
            smooth = None
            if label_smoothing:
                smooth = ops.sum(ops.cast(x, table_sum.dtype) * table_sum, axis=-1) / classes
                smooth = ops.cast(smooth, float32_or_wider(x))
            losses, is_best, normalizer, powers, power_sum = _chunk_losses(
                product, target[index], smooth, z_loss, label_smoothing
            )
            w = ops.cast(w, losses.dtype)
            total = total + ops.stack([ops.sum(w * losses), ops.sum(w * is_best)])
            # d loss / d logit = softmax * (1 + 2 z_loss logZ) - t. The first term is added here,
            # its factor applied to the smaller operand of each product; the second term is added
            # after the loop, for all tokens together.
            factor = (w * (1.0 + 2.0 * z_loss * normalizer) / power_sum)[:, None]
            powers = ops.cast(powers, x.dtype)
            x_gradient = ops.cast(factor * at_least_float32(ops.matmul(powers, table)), x.dtype)
            scaled = ops.cast(factor * at_least_float32(x), x.dtype)
            product = ops.einsum("nv,nc->vc", powers, scaled)
            table_gradient = table_gradient + ops.cast(product, embeddings.dtype)
            # Written over the states, and tied to the table's gradient, so that the next chunk
            # waits for both products of this one.
            x_gradient = x_gradient + 0.0 * ops.cast(table_gradient[0, 0], x.dtype)
            states = ops.slice_update(states, (index, 0, 0), x_gradient[None])
            return total, states, table_gradient

        w = ops.cast(weights, embeddings.dtype)[:, None]
        x = ops.cast(hidden_states, embeddings.dtype)
        at_target = (1.0 - label_smoothing) * w
        # The sum does not start from zeros, which TensorFlow would keep as a constant of this size.
        at_targets = ops.segment_sum(-at_target * x, rows, num_segments=classes)
        start = (ops.zeros((2,), dtype=float32_or_wider(hidden)), hidden, at_targets)
        total, hidden_gradient, table_gradient = ops.fori_loop(0, count, step, start)

        hidden_gradient = _joined(hidden_gradient, ops.shape(x)[0])
        hidden_gradient = ops.cast(hidden_gradient, embeddings.dtype)
        hidden_gradient = hidden_gradient - at_target * ops.take(embeddings, rows, axis=0)
        if label_smoothing:
            everywhere = label_smoothing / classes * w
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

    # The value and not the variable, which would be taken for one that the function itself uses.
    return sums(hidden_states, ops.reshape(embeddings, embeddings.shape))


def token_losses(
    logits_of: Callable[[Tensor], Tensor],
    hidden_states: Tensor,
    targets: Tensor,
    classes: int,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
) -> list[Tensor]:
    """Returns the loss of each token, without holding all logits and without a gradient.

    Args:
        logits_of: Function from hidden states, `[n, C]`, to logits, `[n, V]`.
        hidden_states: `[N, C]`.
        targets: `[N]` integers.
        classes: Number of classes, `V`.
        z_loss: Factor of the z-loss. Defaults to 0.
        label_smoothing: Share of the target distribution that is spread evenly over the vocabulary,
            from 0 to 1. Defaults to 0.

    Returns:
        `[losses, correct]`, both `[N]`: the `softmax_cross_entropy`, and 1 where the target has the
        largest logit (in half precision the first of equal ones), else 0.
    """
    targets = ops.cast(targets, "int32")
    _, chunks = _chunks((hidden_states, targets), classes)

    def step(chunk):
        hidden, target = chunk
        logits = logits_of(hidden)
        smooth = ops.sum(at_least_float32(logits), axis=-1) / classes if label_smoothing else None
        return _chunk_losses(logits, target, smooth, z_loss, label_smoothing)[:2]

    tokens = ops.shape(hidden_states)[0]
    return [_joined(part, tokens) for part in ops.map(step, chunks)]


def _chunks(
    arrays: tuple[Tensor, ...], classes: int, chunk_elements: int | None = None
) -> tuple[int | Tensor, tuple[Tensor, ...]]:
    """Returns the number of chunks, and the arrays as `[chunks, tokens, ...]`, padded by zeros.

    The tokens of a chunk are spread over the batch, so that each device of a mesh has its share of
    every chunk. Of successive tokens, each device would compute the chunks of all others, too.
    """
    tokens = ops.shape(arrays[0])[0]
    # Each device of a mesh has its share of a chunk.
    largest = max(1, num_replicas() * (chunk_elements or CHUNK_ELEMENTS) // classes)
    count = -(-tokens // largest)
    length = -(-tokens // count)
    missing = count * length - tokens
    padded = (ops.pad(x, ((0, missing), *[(0, 0)] * (len(x.shape) - 1))) for x in arrays)
    spread = (ops.reshape(x, (length, count, *x.shape[1:])) for x in padded)
    return count, tuple(ops.swapaxes(x, 0, 1) for x in spread)


def _joined(chunks: Tensor, tokens: int | Tensor) -> Tensor:
    """Returns `[tokens, ...]` of what `_chunks` has cut."""
    return ops.reshape(ops.swapaxes(chunks, 0, 1), (-1, *chunks.shape[2:]))[:tokens]


def _chunk_losses(
    product: Tensor,
    target: Tensor,
    mean_logit: Tensor | None,
    z_loss: float,
    label_smoothing: float,
) -> tuple[Tensor, ...]:
    """Returns the losses of a chunk of tokens, and what their gradients need.

    It is not to be differentiated, because the gradient of its gather would be a slow scatter.

    Args:
        product: `[N, V]`, the logits as the head computed them.
        target: `[N]` integers.
        mean_logit: `[N]`, the mean logit of each token, or `None` without label smoothing.
        z_loss: Factor of the z-loss.
        label_smoothing: Share of the target distribution that is spread evenly.

    Returns:
        `(losses, is_best, normalizer, powers, power_sum)`: the losses, 1 where the target has the
        largest logit, the logs of the normalizers, `exp(logit - largest logit)`, `[N, V]`, and the
        sums of that over the classes.
    """
    logits = at_least_float32(product)
    classes = logits.shape[-1]
    target_logit = at_least_float32(_at_target(product, ops.clip(target, 0, classes - 1)))
    largest = ops.max(logits, axis=-1)
    powers = ops.exp(logits - largest[:, None])
    power_sum = ops.sum(powers, axis=-1)
    normalizer = ops.log(power_sum) + largest
    losses = _losses(normalizer, target_logit, mean_logit, z_loss, label_smoothing)
    losses = _only_of_classes(losses, target, classes)
    if product.dtype == logits.dtype:
        is_best = ops.greater_equal(target_logit, largest)
    else:  # In half precision equal logits are common, and the first counts. This takes longer.
        is_best = ops.equal(argmax(product), target)
    return losses, ops.cast(is_best, logits.dtype), normalizer, powers, power_sum


def _at_target(logits: Tensor, target: Tensor) -> Tensor:
    """Returns the logit of each token's target, `[N]`."""
    tokens, classes = ops.shape(logits)[0], logits.shape[-1]
    if keras.distribution.distribution() is not None:
        # Devices may each have some of the classes, and would send them all for a gather.
        is_target = ops.equal(ops.arange(classes, dtype="int32"), target[:, None])
        return ops.sum(ops.where(is_target, logits, _number(0.0, logits)), axis=-1)
    places = ops.arange(tokens, dtype="int32") * classes
    return ops.take(ops.reshape(logits, (-1,)), places + target)


def _losses(
    normalizer: Tensor,
    target_logit: Tensor,
    mean_logit: Tensor | None,
    z_loss: float,
    label_smoothing: float,
) -> Tensor:
    losses = normalizer - (1.0 - label_smoothing) * target_logit
    if mean_logit is not None:
        losses = losses - label_smoothing * mean_logit
    if z_loss:
        losses = losses + z_loss * ops.square(normalizer)
    return losses


def _only_of_classes(losses: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Returns the losses, NaN where the target is no class."""
    is_class = ops.logical_and(ops.greater_equal(targets, 0), ops.less(targets, classes))
    return ops.where(is_class, losses, _number(float("nan"), losses))


def _number(value: float, like: Tensor) -> Tensor:
    # On PyTorch, a Python number would turn float64 into float32.
    return ops.cast(value, like.dtype)
