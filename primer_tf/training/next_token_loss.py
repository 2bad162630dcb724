"""The training loss of a language model."""

import keras
from keras import ops

from primer_tf.layers.precision import at_least_float32


@keras.saving.register_keras_serializable(package="primer_tf")
class NextTokenLoss(keras.losses.Loss):
    """Cross-entropy of the next token in nats, averaged over token weights, with z-loss.

    With `logZ` the log of the softmax's normalizer, a token costs `logZ - logit[target] +
    z_loss * logZ^2` (`softmax_cross_entropy_with_logits` of Mesh TensorFlow). The z-loss keeps
    `logZ` near zero; T5 trains with 1e-4.

    Args:
        z_loss: Factor of the z-loss.
        name: Name of the loss.
        reduction: `keras.losses.Loss` reduction; the default divides by the sum of the weights.
        **kwargs: Arguments of `keras.losses.Loss`.

    Call arguments:
        y_true: `[B, T]` integers.
        y_pred: Logits `[B, T, V]`.
        sample_weight: `[B, T]`; zero on padding. Optional.

    Returns:
        Scalar.

    Example:

    >>> NextTokenLoss()(keras.ops.zeros((2, 5), "int32"), keras.ops.zeros((2, 5, 100)))  # log 100
    """

    def __init__(self, z_loss=0.0, name="loss", reduction="mean_with_sample_weight", **kwargs):
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.z_loss = z_loss

    def call(self, y_true, y_pred):
        """Returns the loss of every token, `[B, T]`."""
        logits = at_least_float32(y_pred)
        log_normalizer = ops.logsumexp(logits, axis=-1)
        # A comparison fuses into the sum; a gather would scatter in the gradient, which is slow.
        classes = ops.arange(logits.shape[-1], dtype="int32")
        is_target = ops.equal(classes, ops.cast(y_true, "int32")[..., None])
        loss = log_normalizer - ops.sum(ops.where(is_target, logits, 0.0), axis=-1)
        if self.z_loss:
            loss = loss + self.z_loss * ops.square(log_normalizer)
        return loss

    def get_config(self):
        """Returns the constructor arguments."""
        return {**super().get_config(), "z_loss": self.z_loss}
