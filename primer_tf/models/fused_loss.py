"""Training and evaluation of a causal language model without the logits of all tokens."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops
from keras_hub.models import CausalLM

from primer_tf.errors import UserError
from primer_tf.losses.linear_cross_entropy import (
    CHUNK_ELEMENTS,
    linear_cross_entropy,
    token_losses,
    without_weightless,
)
from primer_tf.losses.next_token_loss import NextTokenLoss
from primer_tf.models.causal_lm_mixin import CausalLMMixin
from primer_tf.models.hidden_states_trainer import HiddenStatesTrainer
from primer_tf.models.optional_tensorflow import in_tensorflow_graph, is_tensorflow_tensor
from primer_tf.types import Shape, Tensor


class FusedLoss(CausalLMMixin):
    """A mixin whose `fit` and `evaluate` compute the loss from hidden states, without logits.

    They do so under these conditions:

    - The loss is a `NextTokenLoss` that averages, and there are no `loss_weights`.
    - All metrics are weighted ones, and each is a `SparseCategoricalAccuracy`.
    - Labels have the shape `[B, T]`, and sample weights, if any, have two axes.
    - In `fit`, the embedding is neither quantized nor adapted by LoRA.
    - The model's class does not override `call`, `compute_loss` or `compute_metrics`.

    Otherwise Keras computes the same loss and metrics from logits.

    The model has a `backbone` with a `token_embedding`, and the methods `_scaled` and
    `_logits`.
    """

    def compile(self, *, loss: Any, weighted_metrics: Any, **kwargs: Any) -> None:
        """Configures training and generation; see `keras_hub.models.CausalLM.compile`."""
        # Without new metrics Keras would keep those of the last `compile`, the constructor's.
        self._compile_metrics = None
        super().compile(loss=loss, weighted_metrics=weighted_metrics, **kwargs)
        metrics = weighted_metrics or []
        self._loss_can_be_fused = (
            type(loss) is NextTokenLoss
            and loss.reduction == "mean_with_sample_weight"
            and kwargs.get("loss_weights") is None
            and not kwargs.get("metrics")
            and all(type(m) is keras.metrics.SparseCategoricalAccuracy for m in metrics)
        )
        if self._loss_can_be_fused:
            trainer = HiddenStatesTrainer(self, list(metrics))
            # Only the methods are kept: Keras and PyTorch would take the trainer for a layer.
            self._fused_train_step, self._fused_test_step = trainer.train_step, trainer.test_step

    def preprocess_samples(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Preprocesses a batch, and checks its labels if the loss is a `NextTokenLoss`."""
        data = super().preprocess_samples(x, y, sample_weight)
        if isinstance(self.loss, NextTokenLoss):
            _, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
            check_labels(y, sample_weight, self.backbone.vocabulary_size)
        return data

    def train_step(self, *state_and_data: Any) -> Any:
        """Trains on one batch; see `keras.Model`. Without a padding mask all tokens are real."""
        # On JAX there is a state before the data.
        *state, data = state_and_data
        if self._can_fuse(data, training=True):
            return self._fused_train_step(*state, data)
        return super().train_step(*state, _with_mask(data))

    def test_step(self, *state_and_data: Any) -> Any:
        """Evaluates one batch; see `keras.Model`. Without a padding mask all tokens are real."""
        *state, data = state_and_data
        if self._can_fuse(data, training=False):
            return self._fused_test_step(*state, data)
        return super().test_step(*state, _with_mask(data))

    def _symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Builds the loss and the metrics by a call, which needs a padding mask."""
        if data_batch is not None:
            super()._symbolic_build(data_batch=_with_mask(data_batch))
            return

        def batches() -> Iterator[Any]:  # Keras reads the first one, and only if it must build.
            for start, stop, found in iterator:
                batch = found[0] if isinstance(found, (list, tuple)) else next(found)
                yield start, stop, [_with_mask(batch)]

        super()._symbolic_build(iterator=batches())

    def _can_fuse(self, data: Any, training: bool) -> bool:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        embedding = self.backbone.token_embedding
        is_product = embedding.quantization_mode is None and not embedding.lora_enabled
        return (
            self._loss_can_be_fused
            and (is_product or not training)
            and isinstance(x, dict)
            and {"token_ids"} <= x.keys() <= {"token_ids", "padding_mask"}
            and _rank(y) == 2
            and _may_be_equal(y.shape, x["token_ids"].shape)
            and (sample_weight is None or _rank(sample_weight) == 2)
            and not any(
                getattr(type(self), name) is not getattr(CausalLM, name)
                for name in ("call", "compute_loss", "compute_metrics")
            )
        )

    def loss_sums(
        self, hidden_states: Tensor, targets: Tensor, weights: Tensor, training: bool
    ) -> tuple[Tensor, Tensor]:
        """Sums the compiled loss over the tokens of a batch, without holding all logits.

        Args:
            hidden_states: `[..., C]`, the output of the backbone for `N` tokens.
            targets: `[N]` integers; any number is allowed where the weight is zero.
            weights: `[N]`, zero on padding.
            training: Whether the loss must have a gradient.

        Returns:
            `(loss, correct)`: the sum of the weighted losses, and the sum of the weights of all
            tokens whose target has the largest logit.
        """
        options = (self.loss.z_loss, self.loss.label_smoothing)
        if not training:
            targets = without_weightless(targets, weights)
            losses, correct = self.token_losses(hidden_states, targets, *options)
            return ops.sum(weights * losses), ops.sum(weights * correct)
        table = ops.convert_to_tensor(self.backbone.token_embedding.embeddings)
        hidden_states = ops.reshape(self._scaled(hidden_states), (-1, hidden_states.shape[-1]))
        # Gradient checkpointing means that memory is short, so chunks are smaller too.
        chunk = CHUNK_ELEMENTS // (2 if self.backbone.gradient_checkpointing else 1)
        sums = linear_cross_entropy(hidden_states, table, targets, weights, *options, chunk)
        return ops.unstack(sums, 2)

    def token_losses(
        self,
        hidden_states: Tensor,
        targets: Tensor,
        z_loss: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> list[Tensor]:
        """Returns the loss of each token, without holding all logits and without a gradient.

        Args:
            hidden_states: `[..., C]`, the output of the backbone for `N` tokens.
            targets: `[...]` integers.
            z_loss: Factor of the z-loss. Defaults to 0.
            label_smoothing: Share of the target distribution that is spread evenly over the
                vocabulary, from 0 to 1. Defaults to 0.

        Returns:
            `[losses, correct]`, both `[N]`: the losses in nats, and 1 where the target has the
            largest logit, else 0.
        """
        hidden_states = ops.reshape(hidden_states, (-1, hidden_states.shape[-1]))
        targets, classes = ops.reshape(targets, (-1,)), self.backbone.vocabulary_size
        return token_losses(self._logits, hidden_states, targets, classes, z_loss, label_smoothing)


def _with_mask(data: Any) -> Any:
    """Returns a batch whose inputs have a padding mask."""
    x, *others = data if isinstance(data, (tuple, list)) else (data,)
    if not isinstance(x, dict) or x.keys() != {"token_ids"}:
        return data
    return ({**x, "padding_mask": ops.ones_like(x["token_ids"], dtype="int32")}, *others)


def check_labels(labels: Any, sample_weight: Any, classes: int) -> None:
    """Checks that every label with weight is one of the classes.

    Args:
        labels: Integers of any shape. Labels without a `shape` are not checked.
        sample_weight: Weights of the labels, or `None`. Labels of weight zero may be any number.
        classes: Number of classes.

    Raises:
        UserError: A label is no class. Inside a `tf.data` pipeline, TensorFlow raises an error of
            its own with the same message.
    """
    if not hasattr(labels, "shape"):
        return
    message = (
        f"Labels must be token ids from 0 to {classes - 1}, the rows of the embedding; give others "
        "a sample_weight of zero. Smallest and largest label:"
    )
    in_pipeline = is_tensorflow_tensor(labels) and in_tensorflow_graph()
    if sample_weight is not None:
        if not in_pipeline:
            labels, sample_weight = map(ops.convert_to_numpy, (labels, sample_weight))
        # Keras, too, takes `[B, T, 1]` for `[B, T]`.
        if _rank(labels) == _rank(sample_weight) + 1 and labels.shape[-1] == 1:
            labels = labels[..., 0]
        if _rank(sample_weight) == _rank(labels) + 1 and sample_weight.shape[-1] == 1:
            sample_weight = sample_weight[..., 0]
    if in_pipeline:
        import tensorflow as tf

        if sample_weight is not None:
            counts = tf.cast(sample_weight, "bool")  # KerasHub's preprocessor gives booleans.
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


def _rank(x: Any) -> int:
    """Returns the number of axes, -1 for what has no shape."""
    return -1 if getattr(x, "shape", None) is None else len(x.shape)


def _may_be_equal(shape: Shape, other: Shape) -> bool:
    return all(a is None or b is None or a == b for a, b in zip(shape, other, strict=True))
