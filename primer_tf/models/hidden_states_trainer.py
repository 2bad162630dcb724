"""The steps of `fit` and `evaluate` for a loss of hidden states."""

from typing import Any

import keras
from keras import ops

from primer_tf._compat import scale_loss_for_distribution
from primer_tf.layers.precision import float32_or_wider
from primer_tf.types import Tensor


class HiddenStatesTrainer(keras.Model):
    """Trains and evaluates a causal language model without its logits.

    Keras' steps call a model and pass what it returns to `compute_loss`. This model returns hidden
    states there. It shares the weights, optimizer and metrics of a `PrimerCausalLM`, and its steps
    give the same loss and metrics as the steps of that model.

    Args:
        model: A compiled `PrimerCausalLM`.
        accuracies: The metrics of `model` that each step updates.
    """

    def __init__(
        self, model: Any, accuracies: list[keras.metrics.SparseCategoricalAccuracy]
    ) -> None:
        super().__init__()
        self.model = model
        self.accuracies = accuracies
        self._loss_tracker = model._loss_tracker
        self.built = True

    @property
    def optimizer(self) -> Any:
        """The optimizer of the model."""
        return self.model.optimizer

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The metrics of the model, the mean loss included."""
        return self.model.metrics

    def call(self, inputs: dict[str, Tensor], training: bool | None = None) -> Tensor:
        """Returns hidden states, `[B, T, C]`. Without a `"padding_mask"` all tokens are real."""
        if "padding_mask" not in inputs:
            return self.model.backbone.hidden_states(inputs["token_ids"], training=training)
        return self.model.backbone(inputs, training=training)

    def compute_loss(
        self,
        x: dict[str, Tensor] | None = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor | None = None,
        training: bool = True,
    ) -> Tensor:
        """Returns the loss of a batch, and updates the accuracies.

        Args:
            x: The inputs, which are not used.
            y: `[B, T]` integers, the labels.
            y_pred: `[B, T, C]`, the hidden states.
            sample_weight: Weights that can be broadcast to `[B, T]`. Defaults to ones.
            training: Whether the loss must have a gradient. Defaults to `True`.

        Returns:
            Scalar.
        """
        dtype = float32_or_wider(y_pred)
        weights = ops.ones_like(y) if sample_weight is None else sample_weight
        divisor = ops.sum(ops.cast(weights, dtype))
        weights = ops.broadcast_to(ops.cast(weights, dtype), ops.shape(y))
        flat = (ops.reshape(y, (-1,)), ops.reshape(weights, (-1,)))
        loss, correct = self.model.loss_sums(y_pred, *flat, training=training)
        # As Keras counts: the mean of each row, summed.
        length = ops.cast(ops.shape(y)[1], dtype)
        for metric in self.accuracies:
            metric.total.assign_add(ops.cast(correct / length, metric.dtype))
            metric.count.assign_add(ops.cast(ops.sum(weights) / length, metric.dtype))
        loss = ops.cast(ops.divide_no_nan(loss, divisor), keras.config.floatx())
        loss = scale_loss_for_distribution(loss)
        return loss + sum(self._aggregate_additional_loss(extra) for extra in self.losses)

    def compute_metrics(
        self,
        x: dict[str, Tensor],
        y: Tensor,
        y_pred: Tensor,
        sample_weight: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Returns the results of all metrics, which are up to date since `compute_loss`."""
        metrics = self.model._compile_metrics
        if metrics is not None and not metrics.built:
            metrics.build(y, y_pred)
        return self.get_metrics_result()
