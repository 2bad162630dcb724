"""How well a model predicts a text."""

import math
from dataclasses import dataclass

import keras

from primer_tf.training.jit import JIT_COMPILE
from primer_tf.training.next_token_loss import NextTokenLoss


@dataclass(frozen=True)
class Evaluation:
    """The prediction of a text, token by token.

    Attributes:
        loss: Cross-entropy in nats a token.
        accuracy: Share of tokens that had the largest logit.
        tokens: Number of tokens, the end of each document included.
        num_bytes: Length of the raw text in UTF-8.
    """

    loss: float
    accuracy: float
    tokens: int
    num_bytes: int

    @property
    def perplexity(self):
        """`exp(loss)`; comparable only between models of the same vocabulary."""
        return math.exp(min(self.loss, 700.0))

    @property
    def bits_per_byte(self):
        """Bits the model needs for a byte of the raw text; comparable across vocabularies."""
        return self.loss * self.tokens / math.log(2) / self.num_bytes

    def __str__(self):
        return (
            f"loss {self.loss:.4f}  perplexity {self.perplexity:.2f}  "
            f"accuracy {self.accuracy:.4f}  bits per byte {self.bits_per_byte:.4f}"
        )


class Evaluator:
    """Evaluates a model on a text, as often as wanted with one compilation.

    Every token counts once and with equal weight, whatever the batch it falls into.

    Args:
        model: A `PrimerCausalLM`.
        chunks: The text as `TokenChunks`.
        num_bytes: Length of the text in bytes.
        batch_size: Chunks evaluated at a time.
    """

    def __init__(self, model, chunks, num_bytes, batch_size):
        self.chunks = chunks
        self.num_bytes = num_bytes
        self.batch_size = batch_size
        # A model of its own, so that metrics that training does not need cost it nothing.
        self.model = keras.Model(model.inputs, model.outputs[0])
        self.model.compile(
            loss=NextTokenLoss(),
            jit_compile=JIT_COMPILE,
            weighted_metrics=[
                keras.metrics.SparseCategoricalCrossentropy(
                    from_logits=True, name="loss_per_token"
                ),
                keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            ],
        )

    def __call__(self):
        """Returns the `Evaluation` of the model as it is now."""
        batches = self.chunks.evaluation_batches(self.batch_size)
        steps = self.chunks.evaluation_steps(self.batch_size)
        logs = self.model.evaluate(batches, steps=steps, verbose=0, return_dict=True)
        return Evaluation(
            loss=logs["loss_per_token"],
            accuracy=logs["accuracy"],
            tokens=len(self.chunks.tokens),
            num_bytes=self.num_bytes,
        )
