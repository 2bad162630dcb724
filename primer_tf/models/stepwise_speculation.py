"""Generation from drafts that hands out tokens while it goes on."""

import time
from collections.abc import Iterator

import numpy as np
from keras import ops

from primer_tf.models import stepwise_generation
from primer_tf.models.speculative_decoding import SpeculativeDecoding
from primer_tf.types import Inputs


class StepwiseSpeculation:
    """Generates from drafts, a few tokens at a time; see `StepwiseGenerator`.

    Args:
        decoding: The `SpeculativeDecoding` of a model. The model must not be compiled again.
    """

    def __init__(self, decoding: SpeculativeDecoding) -> None:
        self._start = decoding.compile(decoding.start)
        self._run = decoding.compile(decoding.run)

    def __call__(self, inputs: Inputs) -> Iterator[tuple[np.ndarray, int]]:
        """Generates for one batch.

        Args:
            inputs: Dict of `"token_ids"`, `[B, T]` integers with room for the new tokens, and
                `"padding_mask"`, `[B, T]`, true on the prompts.

        Yields:
            `(token_ids, end)`: `[B, T]` integers, and the position up to which they are generated.
        """
        token_ids = ops.convert_to_tensor(inputs["token_ids"], dtype="int32")
        mask = ops.convert_to_tensor(inputs["padding_mask"])
        lengths = ops.sum(ops.cast(mask, "int32"), axis=1)
        texts, length, count = self._start(token_ids, lengths), int(token_ids.shape[1]), 1
        index = int(ops.min(lengths))
        while index < length:
            start = time.monotonic()
            end = ops.convert_to_tensor(min(index + count, length), dtype="int32")
            texts = self._run(texts, end)
            index = int(ops.min(texts.positions))
            yield ops.convert_to_numpy(texts.token_ids), index
            count = stepwise_generation.next_count(count, time.monotonic() - start)
