"""Training and evaluation of a causal language model without the logits of all tokens."""

import keras
import numpy as np
from keras import ops

from primer_tf._compat import no_automatic_dependency_tracking, scale_loss_for_distribution
from primer_tf.errors import UserError
from primer_tf.layers.precision import float32_or_wider
from primer_tf.losses.linear_cross_entropy import (
    CHUNK_ELEMENTS,
    linear_cross_entropy,
    token_losses,
    without_weightless,
)
from primer_tf.losses.next_token_loss import NextTokenLoss

# Beside a batch's inputs this key holds its targets, and asks `call` for hidden states. Keras hands
# the inputs to `compute_loss` and `compute_metrics` too, which so know what they are given.
FUSED_LOSS = "primer_tf/fused_loss"


class FusedLoss:
    """`fit` and `evaluate` of a `CausalLM` make the loss straight from hidden states; a mixin.

    They do so for a `NextTokenLoss` that averages, without `loss_weights`, with no metric but a
    weighted `SparseCategoricalAccuracy`, for labels `[B, T]` and weights of two dimensions; `fit`
    only where the head is a product with the embedding, neither quantized nor with LoRA. In all
    other cases, and in subclasses with their own `call`, `compute_loss` or `compute_metrics`, Keras
    makes the same loss and metrics from logits.

    The model has a `backbone` with a `token_embedding`, and the methods `_scaled` and
    `_head_for_loops`.
    """

    @no_automatic_dependency_tracking  # Keras counts the metrics among the model's already
    def compile(self, *, loss, weighted_metrics, **kwargs):
        """Configures training and generation; see `keras_hub.models.CausalLM.compile`."""
        # Where none are given Keras would keep those of the `compile` before, the constructor's.
        self._compile_metrics = None
        super().compile(loss=loss, weighted_metrics=weighted_metrics, **kwargs)
        metrics = weighted_metrics or []
        self._accuracies = metrics
        self._loss_can_be_fused = (
            type(loss) is NextTokenLoss
            and loss.reduction == "mean_with_sample_weight"
            and kwargs.get("loss_weights") is None
            and not kwargs.get("metrics")
            and all(type(m) is keras.metrics.SparseCategoricalAccuracy for m in metrics)
        )

    def preprocess_samples(self, x, y=None, sample_weight=None):
        """Preprocesses a batch, and checks the labels that a `NextTokenLoss` will get."""
        data = super().preprocess_samples(x, y, sample_weight)
        if isinstance(self.loss, NextTokenLoss):
            _, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
            check_labels(y, sample_weight, self.backbone.vocabulary_size)
        return data

    def train_step(self, *state_and_data):
        """One step of `fit`."""
        return super().train_step(*self._with_targets(*state_and_data, training=True))

    def test_step(self, *state_and_data):
        """One step of `evaluate`."""
        return super().test_step(*self._with_targets(*state_and_data, training=False))

    def _with_targets(self, *state_and_data, training):
        *state, data = state_and_data  # JAX has a state
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if self._can_fuse(x, y, sample_weight, training):
            data = ({**x, FUSED_LOSS: y}, y, sample_weight)
        return *state, data

    def _can_fuse(self, x, y, sample_weight, training):
        embedding = self.backbone.token_embedding
        is_product = embedding.quantization_mode is None and not embedding.lora_enabled
        return (
            self._loss_can_be_fused
            and (is_product or not training)
            and isinstance(x, dict)
            and x.keys() == {"token_ids", "padding_mask"}
            and _rank(y) == 2
            and _may_be_equal(y.shape, x["token_ids"].shape)
            and (sample_weight is None or _rank(sample_weight) == 2)
            and not any(
                getattr(type(self), name) is not getattr(FusedLoss, name)
                for name in ("call", "compute_loss", "compute_metrics")
            )
        )

    def call(self, inputs, training=None, mask=None):
        """Returns logits, or hidden states for a batch of `train_step` or `test_step`."""
        if isinstance(inputs, dict) and FUSED_LOSS in inputs:
            inputs = {key: value for key, value in inputs.items() if key != FUSED_LOSS}
            return self.backbone(inputs, training=training)
        return super().call(inputs, training=training, mask=mask)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the loss, made from logits, or from hidden states where `call` returned them."""
        if not (isinstance(x, dict) and FUSED_LOSS in x):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        dtype = float32_or_wider(y_pred)
        weights = ops.ones_like(y) if sample_weight is None else sample_weight
        divisor = ops.sum(ops.cast(weights, dtype))
        weights = ops.broadcast_to(ops.cast(weights, dtype), ops.shape(y))
        sum_ = self._training_sums if training else self._evaluation_sums
        loss, correct = sum_(y_pred, ops.reshape(y, (-1,)), ops.reshape(weights, (-1,)))
        # As Keras counts: the mean of each row, summed.
        length = ops.cast(ops.shape(y)[1], dtype)
        for metric in self._accuracies:
            metric.total.assign_add(ops.cast(correct / length, metric.dtype))
            metric.count.assign_add(ops.cast(ops.sum(weights) / length, metric.dtype))
        loss = ops.cast(ops.divide_no_nan(loss, divisor), keras.config.floatx())
        loss = scale_loss_for_distribution(loss)
        return loss + sum(self._aggregate_additional_loss(extra) for extra in self.losses)

    def _training_sums(self, hidden_states, targets, weights):
        table = ops.convert_to_tensor(self.backbone.token_embedding.embeddings)
        hidden_states = ops.reshape(self._scaled(hidden_states), (-1, hidden_states.shape[-1]))
        # With gradient checkpointing less memory is wanted here too.
        chunk = CHUNK_ELEMENTS // (2 if self.backbone.gradient_checkpointing else 1)
        options = (self.loss.z_loss, self.loss.label_smoothing)
        sums = linear_cross_entropy(hidden_states, table, targets, weights, *options, chunk)
        return ops.unstack(sums, 2)

    def _evaluation_sums(self, hidden_states, targets, weights):
        options = (self.loss.z_loss, self.loss.label_smoothing)
        targets = without_weightless(targets, weights)
        losses, correct = self.token_losses(hidden_states, targets, *options)
        return ops.sum(weights * losses), ops.sum(weights * correct)

    def token_losses(self, hidden_states, targets, z_loss=0.0, label_smoothing=0.0):
        """Returns what each token costs, without holding all logits; has no gradient.

        Args:
            hidden_states: What the backbone returns, `[..., C]`.
            targets: `[...]` integers.
            z_loss: Factor of the z-loss.
            label_smoothing: Share of the target distribution that is spread evenly.

        Returns:
            `(losses, correct)`, both flat, one entry a token: losses in nats, and one where the
            target had the largest logit, else zero.
        """
        hidden_states = ops.reshape(hidden_states, (-1, hidden_states.shape[-1]))
        targets, classes = ops.reshape(targets, (-1,)), self.backbone.vocabulary_size
        head = self._head_for_loops()
        return token_losses(head, hidden_states, targets, classes, z_loss, label_smoothing)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Returns the results of all metrics, updated here or by `compute_loss`."""
        if not (isinstance(x, dict) and FUSED_LOSS in x):
            return super().compute_metrics(x, y, y_pred, sample_weight)
        if self._compile_metrics is not None and not self._compile_metrics.built:
            self._compile_metrics.build(y, y_pred)
        return self.get_metrics_result()


def check_labels(labels, sample_weight, classes):
    """Raises an error if a label with weight is none of the classes.

    It is a `UserError`, or inside a `tf.data` pipeline one of TensorFlow that says the same.

    Args:
        labels: Integers of any shape; anything else is not checked.
        sample_weight: Numbers, or `None`; labels of weight zero may be any number.
        classes: Number of classes.
    """
    if not hasattr(labels, "shape"):
        return
    message = (
        f"Labels must be token ids from 0 to {classes - 1}, the rows of the embedding; give others "
        "a sample_weight of zero. Smallest and largest label:"
    )
    import tensorflow as tf

    in_pipeline = tf.is_tensor(labels) and not tf.executing_eagerly()
    if sample_weight is not None:
        if not in_pipeline:
            labels, sample_weight = map(ops.convert_to_numpy, (labels, sample_weight))
        # `[B, T, 1]` is `[B, T]`, to Keras too.
        if _rank(labels) == _rank(sample_weight) + 1 and labels.shape[-1] == 1:
            labels = labels[..., 0]
        if _rank(sample_weight) == _rank(labels) + 1 and sample_weight.shape[-1] == 1:
            sample_weight = sample_weight[..., 0]
    if in_pipeline:
        if sample_weight is not None:
            counts = tf.cast(sample_weight, "bool")  # KerasHub's preprocessor has booleans
            labels = tf.where(counts, labels, tf.zeros_like(labels))
        smallest, largest = tf.reduce_min(labels), tf.reduce_max(labels)
        is_right = tf.logical_and(smallest >= 0, largest < tf.cast(classes, labels.dtype))
        tf.debugging.Assert(is_right, [message, smallest, largest])
        return
    if sample_weight is not None:
        labels = np.where(sample_weight == 0, 0, labels)
    labels = ops.convert_to_numpy(labels)
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise UserError(f"{message} {labels.min()}, {labels.max()}.")


def _rank(x):
    return None if getattr(x, "shape", None) is None else len(x.shape)


def _may_be_equal(shape, other):
    return all(a is None or b is None or a == b for a, b in zip(shape, other, strict=True))
