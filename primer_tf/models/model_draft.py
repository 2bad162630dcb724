"""Drafts from a smaller model."""

from typing import TYPE_CHECKING

from keras import ops

from primer_tf.layers.position_cache import read_cache
from primer_tf.models.speculative_decoding import Draft, common_position, read_tokens
from primer_tf.types import Cache, Tensor

if TYPE_CHECKING:
    from primer_tf.models.primer_causal_lm import PrimerCausalLM


class ModelDraft(Draft):
    """Proposes the tokens that a smaller model finds most probable.

    Args:
        model: The smaller `PrimerCausalLM`, of the same vocabulary.
        large: The model that it proposes to.
    """

    length = 4

    def __init__(self, model: "PrimerCausalLM", large: "PrimerCausalLM") -> None:
        self.model = model
        self.models = [model]
        # A step takes about as long as reading its weights.
        self.cost = self.length * model.count_params() / large.count_params()

    def start(self, token_ids: Tensor, lengths: Tensor) -> Cache:
        """Runs the prompts; returns the model's cache, and up to where it is filled."""
        return self.model._fill_cache(token_ids, ops.max(lengths)), lengths

    def propose(self, token_ids: Tensor, positions: Tensor, state: Cache) -> tuple[Tensor, Cache]:
        """Proposes tokens; see `Draft`."""
        model, (cache, filled) = self.model, state
        size = token_ids.shape[1]
        width = min(self.length + 1, size)
        weights = model.decoding_weights()

        def lags(cache: Cache, filled: Tensor) -> Tensor:
            return ops.any(ops.less(filled, positions - width))

        def catch_up(cache: Cache, filled: Tensor) -> tuple[Cache, Tensor]:
            start = ops.minimum(filled, size - width)
            return self._run(token_ids, start, width, cache)[1], start + width

        # Tokens may have been generated without drafts.
        cache, _ = ops.while_loop(lags, catch_up, (cache, filled))
        # The last tokens run at once, as those of the last draft may have been rejected.
        start = ops.maximum(positions - width, 0)
        x, cache = self._run(token_ids, start, width, cache)
        x = read_cache(x, common_position(positions - 1 - start), 1)
        tokens: list[Tensor] = []
        for step in range(self.length):
            if step:
                # What is proposed beyond the end of the buffer is never used.
                start = ops.minimum(positions - 1 + step, size - 1)
                x, cache = model._extend_cache(
                    tokens[-1][:, None], cache, common_position(start), weights
                )
            logits = model._logits_of_step(x, weights)[:, 0]
            tokens.append(ops.cast(ops.argmax(logits, axis=-1), "int32"))
        return ops.stack(tokens, axis=1), (cache, positions)

    def _run(
        self, token_ids: Tensor, start: Tensor, width: int, cache: Cache
    ) -> tuple[Tensor, Cache]:
        tokens = read_tokens(token_ids, start, width)
        return self.model._extend_cache(tokens, cache, common_position(start))
