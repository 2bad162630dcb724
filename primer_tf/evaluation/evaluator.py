"""How well a model predicts a text."""

import math
import sys
from dataclasses import dataclass

import keras
from keras import ops

from primer_tf.models.compiled_functions import describe
from primer_tf.models.jit import jit_compile_by_default

LARGEST_EXPONENT = math.log(sys.float_info.max)


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
        """`exp(loss)`, infinite if beyond float64; comparable only within one vocabulary."""
        return math.inf if self.loss > LARGEST_EXPONENT else math.exp(self.loss)

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
        batch_size: Chunks evaluated at a time; a batch never has more than there are.
    """

    def __init__(self, model, chunks, num_bytes, batch_size):
        self.chunks = chunks
        self.num_bytes = num_bytes
        self.batch_size = min(batch_size, chunks.evaluation_steps(1))
        self.sums = RowSums(model)
        self.sums.compile(jit_compile=jit_compile_by_default())

    def __call__(self):
        """Returns the `Evaluation` of the model as it is now."""
        batches = (
            ({**inputs, "targets": targets, "weights": weights},)
            for inputs, targets, weights in self.chunks.evaluation_batches(self.batch_size)
        )
        steps = self.chunks.evaluation_steps(self.batch_size)
        rows = self.sums.predict(batches, steps=steps, verbose=0)
        loss, correct = rows.astype("float64").sum(axis=0) / self.chunks.num_tokens
        return Evaluation(
            loss=float(loss),
            accuracy=float(correct),
            tokens=self.chunks.num_tokens,
            num_bytes=self.num_bytes,
        )


class RowSums(keras.Model):
    """The losses of a row's tokens, summed, and how many of them were predicted."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self._compiled_for = None

    def make_predict_function(self, force=False):
        """Returns the function for a batch, compiled again if the model has changed."""
        changed = self._compiled_for not in (None, now := describe(self.model))
        self._compiled_for = now
        return super().make_predict_function(force or changed)

    def call(self, inputs):
        """Returns `[B, 2]`."""
        keys = ("token_ids", "padding_mask")
        hidden_states = self.model.backbone({key: inputs[key] for key in keys})
        shape, weights = ops.shape(inputs["targets"]), inputs["weights"]
        parts = self.model.token_losses(hidden_states, inputs["targets"])
        sums = [ops.sum(weights * ops.reshape(part, shape), axis=-1) for part in parts]
        return ops.stack(sums, axis=-1)
