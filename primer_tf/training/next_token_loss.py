"""The training loss of a language model."""

import keras

from primer_tf.layers.linear_cross_entropy import softmax_cross_entropy


@keras.saving.register_keras_serializable(package="primer_tf")
class NextTokenLoss(keras.losses.Loss):
    """Cross-entropy of the next token in nats, averaged over token weights, with z-loss.

    With `logZ` the log of the softmax's normalizer, a token costs `logZ - logit[target] +
    z_loss * logZ^2` (`softmax_cross_entropy_with_logits` of Mesh TensorFlow). The z-loss keeps
    `logZ` near zero; T5 trains with 1e-4.

    A `PrimerCausalLM` compiled with this loss computes it without ever holding all logits.

    Args:
        z_loss: Factor of the z-loss.
        label_smoothing: Share of the target distribution that is spread evenly over the vocabulary.
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

    def __init__(
        self,
        z_loss=0.0,
        label_smoothing=0.0,
        name="loss",
        reduction="mean_with_sample_weight",
        **kwargs,
    ):
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.z_loss = z_loss
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        """Returns the loss of every token, `[B, T]`."""
        return softmax_cross_entropy(y_pred, y_true, self.z_loss, self.label_smoothing)

    def get_config(self):
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "z_loss": self.z_loss,
            "label_smoothing": self.label_smoothing,
        }
