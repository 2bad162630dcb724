"""Generation with a cache."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from keras import ops

from primer_tf.errors import UserError
from primer_tf.layers.dense import gains_from_int8_product, if_one_vector, int8_product
from primer_tf.layers.position_cache import read_cache
from primer_tf.models.causal_lm_mixin import CausalLMMixin
from primer_tf.models.speculative_decoding import SpeculativeDecoding
from primer_tf.types import Cache, Inputs, Tensor

# Positions of a prompt that run together: enough rows for fast matrix products.
PREFILL_CHUNK = 64


class CachedGeneration(CausalLMMixin):
    """A mixin that generates with the cache of the backbone's `decoder`.

    The model has a `backbone` with a `token_embedding` and a `decoder`, and the methods `_scaled`
    and `_logits`.
    """

    _speculative_decoding: SpeculativeDecoding | None = None

    def _normalize_generate_inputs(self, inputs: Any) -> tuple[Iterable[Any], bool]:
        batches, is_scalar = super()._normalize_generate_inputs(inputs)
        if self.preprocessor is None:
            batches = map(_checked, batches)
        return batches, is_scalar

    def call_with_cache(
        self, token_ids: Tensor, cache: Cache, cache_update_index: int | Tensor
    ) -> tuple[Tensor, Tensor, Cache]:
        """Runs the model on tokens that follow the tokens of a cache.

        Args:
            token_ids: `[B, T]` integers.
            cache: The cache that `backbone.decoder.build_cache` or an earlier call returned.
            cache_update_index: Position of the first token, an integer, a scalar or `[B]`.

        Returns:
            `(logits, hidden_states, cache)`: `[B, T, V]`, `[B, T, C]`, and the updated cache.
        """
        x, cache = self._extend_cache(token_ids, cache, cache_update_index)
        return self._logits(x), x, cache

    def _extend_cache(
        self,
        token_ids: Tensor,
        cache: Cache,
        cache_update_index: int | Tensor,
        decoding_weights: Any = None,
    ) -> tuple[Tensor, Cache]:
        return self.backbone.decoder(
            self.backbone.token_embedding(token_ids),
            cache=cache,
            cache_update_index=cache_update_index,
            decoding_weights=decoding_weights and decoding_weights["decoder"],
        )

    def decoding_weights(self) -> dict[str, Any]:
        """Returns the weights in the forms in which a loop reads them fastest.

        They are made once, before the loop: among them is the embedding, transposed.
        """
        embedding, table = self.backbone.token_embedding, None
        if embedding.quantization_mode is None:
            table = ops.transpose(ops.convert_to_tensor(embedding.embeddings))
            table = ops.cast(table, embedding.compute_dtype)
        return {"decoder": self.backbone.decoder.decoding_weights(), "head": table}

    def _logits_of_step(self, hidden_states: Tensor, decoding_weights: Any) -> Tensor:
        """Returns the logits of a single position, `[B, 1, V]`."""
        table = decoding_weights and decoding_weights["head"]
        if table is not None:
            return ops.matmul(self._scaled(hidden_states), table)
        embedding = self.backbone.token_embedding
        if not gains_from_int8_product(embedding):
            return self._logits(hidden_states)
        return if_one_vector(
            hidden_states,
            lambda: int8_product(
                self._scaled(hidden_states),
                embedding.embeddings,
                embedding.embeddings_scale,
                embedding.inputs_quantizer,
            ),
            lambda: self._logits(hidden_states),
        )

    def _build_cache(
        self,
        token_ids: Tensor,
        length: int | Tensor | None = None,
        least_length: int = PREFILL_CHUNK,
    ) -> tuple[Tensor, Cache]:
        """Runs the model on prompts, a chunk of positions at a time.

        Args:
            token_ids: `[B, T]` integers.
            length: Number of positions to run, an integer or a scalar tensor, rounded up to whole
                chunks, so that one compiled function serves prompts of any length. Defaults to
                all positions.
            least_length: What `T` is at least, for graphs of a `T` that is not known yet. Defaults
                to 64.

        Returns:
            `(hidden_states, cache)`: `[B, T, C]`, zeros at positions that did not run, and the
            cache.
        """
        shape = (*ops.shape(token_ids), self.backbone.hidden_dim)
        hidden_states = ops.zeros(shape, dtype=self.compute_dtype)

        def keep(hidden_states, x, start):
            return ops.slice_update(hidden_states, (0, start, 0), x)

        return self._run_chunks(token_ids, length, least_length, hidden_states, keep)

    def _fill_cache(self, token_ids: Tensor, length: int | Tensor | None = None) -> Cache:
        """Runs the model on prompts for the cache alone; see `_build_cache`.

        Compilers leave out what only the hidden states need: most of the last block.
        """
        _, cache = self._run_chunks(token_ids, length, PREFILL_CHUNK, (), lambda kept, *new: kept)
        return cache

    def _run_chunks(
        self,
        token_ids: Tensor,
        length: int | Tensor | None,
        least_length: int,
        kept: Any,
        keep: Callable[[Any, Tensor, Tensor], Any],
    ) -> tuple[Any, Cache]:
        """Runs the model on prompts; `keep(kept, x, start)` is called with each chunk's states."""
        batch_size, max_length = ops.shape(token_ids)
        known = max_length if isinstance(max_length, int) else least_length
        chunk = min(PREFILL_CHUNK, known)

        def more(index, kept, cache):
            return index < (max_length if length is None else length)

        def run(index, kept, cache):
            # The last chunk may start inside the one before: positions may run a second time.
            start = ops.minimum(index, max_length - chunk)
            tokens = ops.slice(token_ids, (0, start), (batch_size, chunk))
            x, cache = self._extend_cache(tokens, cache, start)
            return index + chunk, keep(kept, x, start), cache

        cache = self.backbone.decoder.build_cache(batch_size, max_length)
        start = ops.convert_to_tensor(0, dtype="int32")
        _, kept, cache = ops.while_loop(more, run, (start, kept, cache))
        return kept, cache

    def prefill(
        self, token_ids: Tensor, lengths: Tensor, cache_length: int | Tensor
    ) -> tuple[Tensor, Cache]:
        """Runs prompts of different lengths.

        Args:
            token_ids: `[B, T]` integers, padded on the right.
            lengths: `[B]` integers, the lengths of the prompts, at least 1.
            cache_length: Number of positions that the cache has room for, at least `T`.

        Returns:
            `(hidden_states, cache)`: `[B, C]`, the last of each prompt, and the cache.
        """
        cache = self.backbone.decoder.build_cache(ops.shape(token_ids)[0], cache_length)
        x, cache = self._extend_cache(token_ids, cache, 0)
        return read_cache(x, lengths - 1, 1)[:, 0], cache

    def decode_step(
        self,
        token_ids: Tensor,
        positions: Tensor,
        cache: Cache,
        decoding_weights: Any = None,
    ) -> tuple[Tensor, Cache]:
        """Runs one more token of each row, at a position of the row's own.

        Rows are independent, so they may join, leave and change places between steps. In a graph of
        TensorFlow the step writes into the cache that it is given; see `position_cache`.

        Args:
            token_ids: `[B]` integers.
            positions: `[B]` integers.
            cache: The cache that `prefill` or an earlier step returned.
            decoding_weights: What `decoding_weights` returned. Defaults to `None`.

        Returns:
            `(logits, cache)`: `[B, V]`, and the updated cache.
        """
        x, cache = self._extend_cache(token_ids[:, None], cache, positions, decoding_weights)
        return self._logits_of_step(x, decoding_weights)[:, 0], cache

    def generate_step(
        self, inputs: Inputs, stop_token_ids: Sequence[int] | None = None
    ) -> dict[str, Tensor]:
        """Generates for one batch, as one function that can be compiled.

        Prompts may differ in length: decoding starts at the end of the shortest one, and longer
        ones keep their own tokens up to their end.

        Args:
            inputs: Dict of `"token_ids"`, `[B, T]` integers with room for the new tokens, and
                `"padding_mask"`, `[B, T]`, true on the prompts.
            stop_token_ids: Ids that end a row, or `None` to fill all rows. Defaults to `None`.

        Returns:
            Dict of the same keys and shapes, the mask true up to the end of each row.
        """
        token_ids, padding_mask = inputs["token_ids"], ops.cast(inputs["padding_mask"], "bool")
        if self._speculative_decoding is None:
            token_ids = self._sample(token_ids, padding_mask, stop_token_ids)
        else:
            token_ids = self._speculative_decoding(token_ids, padding_mask, stop_token_ids)
        if stop_token_ids is None:
            return {
                "token_ids": token_ids,
                "padding_mask": ops.ones_like(token_ids, dtype="bool"),
            }
        stops = ops.convert_to_tensor(list(stop_token_ids), dtype=token_ids.dtype)
        is_stop = ops.any(ops.equal(token_ids[:, :, None], stops), axis=-1)
        is_stop = ops.cast(ops.logical_and(is_stop, ops.logical_not(padding_mask)), "int32")
        # True up to and including the first stop token after the prompt.
        stopped_before = ops.cumsum(is_stop, axis=-1) - is_stop
        return {"token_ids": token_ids, "padding_mask": ops.equal(stopped_before, 0)}

    def _sample(
        self, token_ids: Tensor, padding_mask: Tensor, stop_token_ids: Sequence[int] | None
    ) -> Tensor:
        """Returns the prompts `[B, T]` with the tokens that the sampler puts after them."""
        lengths = ops.sum(ops.cast(padding_mask, "int32"), axis=-1)
        hidden_states, cache = self._build_cache(token_ids, ops.max(lengths))
        start = ops.min(lengths)
        weights = self.decoding_weights()

        def next(prompt, cache, index):
            # The token to feed is the one before the token to predict.
            before = ops.slice(prompt, (0, index - 1), (ops.shape(prompt)[0], 1))
            hidden_states, cache = self._extend_cache(before, cache, index - 1, weights)
            logits = self._logits_of_step(hidden_states, weights)
            return logits[:, 0], hidden_states[:, 0], cache

        return self.sampler(
            next=next,
            prompt=token_ids,
            cache=cache,
            index=start,
            mask=padding_mask,
            stop_token_ids=stop_token_ids,
            hidden_states=hidden_states,
            model=self,
        )


def _checked(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the inputs if their masks are those of prompts, else raises `UserError`."""
    mask = ops.convert_to_numpy(inputs["padding_mask"]).astype(bool)
    bad = ~mask[:, 0] | (mask[:, 1:] > mask[:, :-1]).any(axis=1)
    if bad.any():
        raise UserError(
            f"padding_mask must be true on each prompt, which has at least one token and starts "
            f"its row; that of row {bad.argmax()} is not. Pad prompts on the right."
        )
    return inputs
