"""The training loss of a language model."""

from typing import Any

import keras
from keras import ops

from primer_tf._compat import get_keras_mask, squeeze_or_expand_to_same_rank
from primer_tf.losses.linear_cross_entropy import softmax_cross_entropy, without_weightless
from primer_tf.types import Config, Tensor


@keras.saving.register_keras_serializable(package="primer_tf")
class NextTokenLoss(keras.losses.Loss):
    """Cross-entropy of the next token in nats, averaged over token weights, with z-loss.

    With `logZ` the log of the softmax's normalizer, the loss of a token is
    `logZ - logit[target] + z_loss * logZ^2` (`softmax_cross_entropy_with_logits` of Mesh
    TensorFlow). The z-loss keeps `logZ` near zero; T5 trains with a factor of 1e-4.

    A `PrimerCausalLM` that is compiled with this loss computes it without holding all logits.

    Args:
        z_loss: Factor of the z-loss. Defaults to 0.
        label_smoothing: Share of the target distribution that is spread evenly over the vocabulary,
            from 0 to 1. Defaults to 0.
        name: Name of the loss. Defaults to `"loss"`.
        reduction: A reduction of `keras.losses.Loss`. Defaults to `"mean_with_sample_weight"`,
            which divides by the sum of the weights.
        **kwargs: Arguments of `keras.losses.Loss`.

    Call arguments:
        y_true: `[B, T]` integers, the labels; any number is allowed where the weight is zero.
        y_pred: `[B, T, V]`, the logits.
        sample_weight: `[B, T]`, zero on padding. Defaults to ones.

    Returns:
        Scalar, NaN if a label with weight is none of the `V` classes.

    Raises:
        ValueError: The shapes of `y_true` and `y_pred` do not match.

    Example:

    >>> import keras
    >>> from primer_tf.losses import NextTokenLoss
    >>> loss = NextTokenLoss()
    >>> labels, logits = keras.ops.zeros((2, 5), "int32"), keras.ops.zeros((2, 5, 100))
    >>> round(float(loss(labels, logits)), 4)  # log(100)
    4.6052
    """

    def __init__(
        self,
        z_loss: float = 0.0,
        label_smoothing: float = 0.0,
        name: str = "loss",
        reduction: str = "mean_with_sample_weight",
        **kwargs: Any,
    ) -> None:
        # Keras converts the labels to this dtype as well, and half precision would change them.
        policy = keras.dtype_policies.get(kwargs.pop("dtype", None) or keras.config.floatx())
        dtype = "float64" if policy.compute_dtype == "float64" else "float32"
        super().__init__(name=name, reduction=reduction, dtype=dtype, **kwargs)
        self.z_loss = z_loss
        self.label_smoothing = label_smoothing

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """Returns the loss, reduced."""
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
            y_true = ops.squeeze(y_true, axis=-1)
        for weights in (sample_weight, get_keras_mask(y_pred)):
            if weights is not None:
                weights = ops.convert_to_tensor(weights)
                y_true = without_weightless(*squeeze_or_expand_to_same_rank(y_true, weights))
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns the loss of every token, `[B, T]`."""
        pairs = zip(y_true.shape, y_pred.shape, strict=False)
        if len(y_true.shape) != len(y_pred.shape) - 1 or any(
            None not in pair and pair[0] != pair[1] for pair in pairs
        ):
            raise ValueError(
                f"Labels must have the shape of the logits but for the classes; received labels "
                f"{tuple(y_true.shape)} and logits {tuple(y_pred.shape)}."
            )
        return softmax_cross_entropy(y_pred, y_true, self.z_loss, self.label_smoothing)

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "z_loss": self.z_loss,
            "label_smoothing": self.label_smoothing,
        }
