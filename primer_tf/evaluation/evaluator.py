"""How well a model predicts a text."""

import functools
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from primer_tf.data.repeatable_batches import repeatable_batches
from primer_tf.layers.replicas import num_replicas, on_all_hosts, part_of_batch
from primer_tf.models.compiled_functions import describe
from primer_tf.models.jit import jit_compile_by_default
from primer_tf.models.primer_causal_lm import PrimerCausalLM
from primer_tf.types import Inputs, Tensor

if TYPE_CHECKING:
    from primer_tf.data.text_length import TextLength
    from primer_tf.data.token_chunks import TokenChunks

LARGEST_EXPONENT = math.log(sys.float_info.max)


def _exp(exponent: float) -> float:
    return math.inf if exponent > LARGEST_EXPONENT else math.exp(exponent)


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a text, token by token.

    Attributes:
        loss: Mean cross-entropy of a token in nats.
        accuracy: Share of tokens that have the largest logit.
        tokens: Number of tokens, including the end tokens of documents.
        text: The `TextLength` of the text.

    Example:

    >>> from primer_tf.data import TextLength
    >>> from primer_tf.evaluation import Evaluation
    >>> evaluation = Evaluation(1.0, 0.5, tokens=100, text=TextLength(num_bytes=400, num_words=80))
    >>> print(evaluation)
    loss 1.0000  perplexity 2.72 (word 3.49)  accuracy 0.5000  bits per byte 0.3607
    """

    loss: float
    accuracy: float
    tokens: int
    text: "TextLength"

    @property
    def perplexity(self) -> float:
        """`exp(loss)`, or infinity beyond float64. Only models of one vocabulary compare by it."""
        return _exp(self.loss)

    @property
    def word_perplexity(self) -> float:
        """The perplexity of a word, by which models of different vocabularies compare."""
        return _exp(self.loss * self.tokens / max(1, self.text.num_words))

    @property
    def bits_per_byte(self) -> float:
        """Bits per byte of the raw text, by which models of different vocabularies compare."""
        return self.loss * self.tokens / math.log(2) / self.text.num_bytes

    def to_dict(self) -> dict[str, float | None]:
        """Returns all figures by name; `None`, for JSON, if one is infinite or NaN."""
        figures = {
            "tokens": self.tokens,
            "bytes": self.text.num_bytes,
            "words": self.text.num_words,
            "loss": self.loss,
            "perplexity": self.perplexity,
            "word_perplexity": self.word_perplexity,
            "bits_per_byte": self.bits_per_byte,
            "accuracy": self.accuracy,
        }
        return {key: value if math.isfinite(value) else None for key, value in figures.items()}

    def __str__(self) -> str:
        return (
            f"loss {self.loss:.4f}  "
            f"perplexity {self.perplexity:.2f} (word {self.word_perplexity:.2f})  "
            f"accuracy {self.accuracy:.4f}  bits per byte {self.bits_per_byte:.4f}"
        )


class Evaluator:
    """Evaluates a model on a text, any number of times with one compilation.

    Every token counts once and with the same weight, regardless of its batch.

    Args:
        model: A `PrimerCausalLM`.
        chunks: The text, as `TokenChunks`.
        text: The `TextLength` of the text.
        batch_size: Number of chunks that are evaluated at a time, at most all of them. With several
            devices, each gets as many.

    Example:

    >>> import numpy as np
    >>> from primer_tf.data import TextLength, TokenChunks
    >>> from primer_tf.evaluation import Evaluator
    >>> from primer_tf.models import PrimerBackbone, PrimerCausalLM
    >>> backbone = PrimerBackbone(300, num_layers=1, hidden_dim=16, num_heads=2, head_dim=8)
    >>> chunks = TokenChunks(np.arange(3, 19), sequence_length=8)
    >>> text = TextLength(num_bytes=40, num_words=8)
    >>> evaluate = Evaluator(PrimerCausalLM(backbone), chunks, text, batch_size=2)
    >>> evaluate().tokens
    16
    """

    def __init__(
        self, model: PrimerCausalLM, chunks: "TokenChunks", text: "TextLength", batch_size: int
    ) -> None:
        self.chunks = chunks
        self.text = text
        per_device = min(
            -(-size // num_replicas()) for size in (batch_size, chunks.evaluation_steps(1))
        )
        self.batch_size = per_device * num_replicas()
        self.sums = RowSums(model)
        self.sums.compile(jit_compile=jit_compile_by_default())

    def __call__(self) -> Evaluation:
        """Returns the `Evaluation` of the model with its present weights."""
        steps = self.chunks.evaluation_steps(self.batch_size)
        rows = self.sums.predict(repeatable_batches(self.batches), steps=steps, verbose=0)
        return self.evaluation(rows.astype("float64").sum(axis=0))

    def batches(self) -> Iterator[tuple[Inputs]]:
        """Yields the batches of this host, as the arguments of `RowSums`."""
        part, parts = part_of_batch()
        size = self.batch_size // parts
        own = slice(part * size, (part + 1) * size)
        for inputs, targets, weights in self.chunks.evaluation_batches(self.batch_size, own):
            yield ({**inputs, "targets": targets, "weights": weights},)

    def evaluation(self, sums: np.ndarray) -> Evaluation:
        """Returns what sums over the whole text say.

        Args:
            sums: `[2]`, the sum of the losses, and the number of correct predictions.
        """
        loss, correct = sums / self.chunks.num_tokens
        return Evaluation(
            loss=float(loss),
            accuracy=float(correct),
            tokens=self.chunks.num_tokens,
            text=self.text,
        )


class RowSums(keras.Model):
    """Sums over each row of a batch: the losses of its tokens, and the correct predictions.

    Args:
        model: A `PrimerCausalLM`.
    """

    def __init__(self, model: PrimerCausalLM) -> None:
        super().__init__()
        # Not the model as a layer, for its preprocessor may not be built: Keras on JAX would run a
        # batch of each evaluation operation by operation, which on several devices may deadlock.
        self.backbone = model.backbone
        self._token_losses = model.token_losses
        self._describe = functools.partial(describe, model)
        self.built = True
        self._compiled_for: tuple | None = None

    def make_predict_function(self, force: bool = False) -> Callable[..., Any]:
        """Returns the function for a batch, compiled again if the model has changed."""
        changed = self._compiled_for not in (None, now := self._describe())
        self._compiled_for = now
        return super().make_predict_function(force or changed)

    def call(self, inputs: Inputs) -> Tensor:
        """Returns the sums, `[B, 2]`."""
        keys = ("token_ids", "padding_mask")
        hidden_states = self.backbone({key: inputs[key] for key in keys})
        shape, weights = ops.shape(inputs["targets"]), inputs["weights"]
        parts = self._token_losses(hidden_states, inputs["targets"])
        sums = [ops.sum(weights * ops.reshape(part, shape), axis=-1) for part in parts]
        return on_all_hosts(ops.stack(sums, axis=-1))
