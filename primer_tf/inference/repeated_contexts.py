"""Continuations scored by running their context again, for models without our cache."""

from collections.abc import Callable

import numpy as np
from keras import ops
from keras_hub.models import CausalLM

from primer_tf.layers.position_cache import read_cache
from primer_tf.losses.linear_cross_entropy import token_losses
from primer_tf.models.compile_function import compile_function
from primer_tf.models.jit import jit_compile_by_default
from primer_tf.types import Inputs, Tensor


class RepeatedContexts:
    """Runs any causal language model of KerasHub on whole rows, with the calls of `CachedContexts`.

    Logits are computed only where a token is scored, if the model's head is the embedding of its
    backbone, as in most models of KerasHub.

    Args:
        model: A `keras_hub.models.CausalLM`.
    """

    def __init__(self, model: CausalLM) -> None:
        self.model = model
        self.vocabulary_size = model.output.shape[-1]
        self._states, self._head = _states_and_head(model)
        self._run = compile_function(model, self._score, jit_compile_by_default())

    def prefill(self, token_ids: np.ndarray, length: int) -> np.ndarray:
        """Returns the contexts, `[G, S]`, as they are."""
        return token_ids

    def score(
        self,
        contexts: np.ndarray,
        owners: np.ndarray,
        token_ids: np.ndarray,
        starts: np.ndarray,
        targets: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores tokens that follow tokens of the contexts; see `CachedContexts.score`."""
        rows = contexts[owners]
        positions = starts[:, None] + np.arange(token_ids.shape[1])
        np.put_along_axis(rows, positions, token_ids, axis=1)
        losses, correct = self._run(*(ops.convert_to_tensor(x) for x in (rows, starts, targets)))
        return ops.convert_to_numpy(losses), ops.convert_to_numpy(correct)

    def _score(self, token_ids: Tensor, starts: Tensor, targets: Tensor) -> list[Tensor]:
        length = targets.shape[1]
        states = read_cache(self._states(_inputs(token_ids)), starts, length)
        states = ops.reshape(states, (-1, states.shape[-1]))
        scores = token_losses(self._head, states, ops.reshape(targets, (-1,)), self.vocabulary_size)
        return [ops.reshape(score, (-1, length)) for score in scores]


def _inputs(token_ids: Tensor) -> Inputs:
    # Padding on the right changes nothing before it.
    return {"token_ids": token_ids, "padding_mask": ops.ones_like(token_ids)}


def _states_and_head(model: CausalLM) -> tuple[Callable, Callable]:
    """Returns functions from inputs to states, `[B, T, C]`, and from states to logits."""
    embedding = getattr(model.backbone, "token_embedding", None)
    if embedding is not None:
        inputs = _inputs(ops.convert_to_tensor([[1, 2, 3]], dtype="int32"))
        logits = embedding(model.backbone(inputs), reverse=True)
        logits, expected = (ops.convert_to_numpy(x) for x in (logits, model(inputs)))
        if logits.shape == expected.shape and np.allclose(logits, expected, rtol=1e-3, atol=1e-3):
            return model.backbone, lambda states: embedding(states, reverse=True)
    return model, lambda logits: logits
