"""Continuations scored from the cache of their context."""

import keras
import numpy as np
from keras import ops

from primer_tf.models.compile_function import compile_function
from primer_tf.models.jit import jit_compile_by_default
from primer_tf.models.primer_causal_lm import PrimerCausalLM
from primer_tf.types import Cache, Tensor

# Positions of a continuation that run together: attention holds the scores of so many queries.
SLICE = 128


class CachedContexts:
    """Runs contexts once, and scores any number of their continuations.

    No token is dropped by an expert of limited capacity, so that no score depends on its batch.

    Args:
        model: A `PrimerCausalLM`.
    """

    def __init__(self, model: PrimerCausalLM) -> None:
        self.model = model
        self._prefill = compile_function(model, model._fill_cache, jit_compile_by_default())
        self._extend = compile_function(model, self._score, jit_compile_by_default())

    def prefill(self, token_ids: np.ndarray, length: int) -> Cache:
        """Runs contexts.

        Args:
            token_ids: `[G, S]` integers, padded on the right.
            length: Number of positions to run, at most `S`.

        Returns:
            The caches of the contexts.
        """
        return self._prefill(_int32(token_ids), _int32(length))

    def score(
        self,
        contexts: Cache,
        owners: np.ndarray,
        token_ids: np.ndarray,
        starts: np.ndarray,
        targets: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores tokens that follow tokens of the contexts.

        Args:
            contexts: What `prefill` returned.
            owners: `[B]` integers, the context of each row.
            token_ids: `[B, N]` integers.
            starts: `[B]` integers, the position of each row's first token in its context, at most
                the `length` that was run.
            targets: `[B, N]` integers, the token that each position should predict.

        Returns:
            `(losses, correct)`, both `[B, N]`: the losses in nats, and 1 where the target has the
            largest logit, else 0.
        """
        owners, starts = _int32(owners), _int32(starts)
        cache = keras.tree.map_structure(lambda x: ops.take(x, owners, axis=0), contexts)
        parts = []
        for first in range(0, token_ids.shape[1], SLICE):
            some = slice(first, first + SLICE)
            scores, cache = self._extend(
                _int32(token_ids[:, some]), _int32(targets[:, some]), cache, starts + first
            )
            parts.append([ops.convert_to_numpy(score) for score in scores])
        losses, correct = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
        return losses, correct

    def _score(
        self, token_ids: Tensor, targets: Tensor, cache: Cache, starts: Tensor
    ) -> tuple[list[Tensor], Cache]:
        x, cache = self.model._extend_cache(token_ids, cache, starts)
        scores = self.model.token_losses(x, targets)
        return [ops.reshape(score, ops.shape(targets)) for score in scores], cache


def _int32(x: int | np.ndarray) -> Tensor:
    return ops.convert_to_tensor(x, dtype="int32")
