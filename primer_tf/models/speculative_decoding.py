"""Speculative decoding: one pass of the model checks several tokens of a draft."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from keras import ops

from primer_tf.models.compile_function import compile_function
from primer_tf.types import Cache, Inputs, Tensor

if TYPE_CHECKING:
    from primer_tf.models.primer_causal_lm import PrimerCausalLM

# A pass over a draft of 7 tokens takes as long as a step of one position and so many more: measured
# at 35M parameters on 2 cores, at batch 1 and 8. The int8 product of a single vector reads a byte
# per weight, and that of several vectors four.
PASS_COST = 1.25
QUANTIZED_PASS_COST = 4.0
# Drafts may be wrong for as long as this number of steps would take, at the start and after a
# text that they guessed well.
FIRST_CREDIT = 2.0
MOST_CREDIT = 4.0
# Every step without a draft pays for this part of a step with a wrong one, so that a text that
# drafts cannot guess takes at most so much longer.
CREDIT_OF_STEP = 0.02


class Draft:
    """What proposes tokens.

    Attributes:
        length: Number of tokens that it proposes.
        cost: How long that takes, as a multiple of a step of the model.
        models: The models that it uses.
    """

    length: int
    cost: float
    models: Sequence["PrimerCausalLM"] = ()

    def start(self, token_ids: Tensor, lengths: Tensor) -> Cache:
        """Returns the state after prompts, a nest of tensors.

        Args:
            token_ids: `[B, T]` integers, padded on the right.
            lengths: `[B]` integers, the lengths of the prompts.
        """
        return ()

    def has_tokens(self, token_ids: Tensor, positions: Tensor) -> Tensor:
        """Returns whether it has something to propose for each row, `[B]`.

        Args:
            token_ids: `[B, T]` integers.
            positions: `[B]` integers, the ends of the rows.
        """
        return ops.ones_like(positions, dtype="bool")

    def propose(self, token_ids: Tensor, positions: Tensor, state: Cache) -> tuple[Tensor, Cache]:
        """Proposes how each row goes on.

        Args:
            token_ids: `[B, T]` integers.
            positions: `[B]` integers, the ends of the rows.
            state: What `start` or an earlier call returned.

        Returns:
            `(drafts, state)`: `[B, length]` integers, and the state.
        """
        raise NotImplementedError


class Texts(NamedTuple):
    """Texts that grow.

    Args:
        token_ids: `[B, T]` integers.
        positions: `[B]` integers, the ends of the rows: the model has run all tokens but the last.
        is_stopped: `[B]`, true after a stop token.
        cache: The model's cache.
        draft: The state of the draft.
        credit: For how many steps drafts may still be wrong, a scalar.
        has_draft: Whether a row has a draft, a scalar.
    """

    token_ids: Tensor
    positions: Tensor
    is_stopped: Tensor
    cache: Cache
    draft: Cache
    credit: Tensor
    has_draft: Tensor


class SpeculativeDecoding:
    """Generates with a model's sampler from drafts (Leviathan et al. 2023, "Fast Inference").

    The model runs the last token and the draft after it in one pass, which gives the distributions
    of the next tokens at all of these positions. The sampler draws a token from each. The draft is
    kept for as long as it equals what was drawn; the first token that differs ends it, and is kept
    in its place. Every token is thus drawn from the model's own distribution: a draft changes when
    tokens come, and not which. With a sampler that draws nothing, the text is the same, up to the
    rounding of logits. This is rejection sampling for drafts that are not random themselves.

    Caches are indexed by position, so what a rejected token wrote is written again before it is
    read; see "Decoding with a convolution cache" in the documentation.

    Drafts earn credit with the tokens that they save. Where they are mostly wrong, the model runs
    single positions again.

    Args:
        model: A compiled `PrimerCausalLM`.
        draft: A `Draft`.
    """

    def __init__(self, model: "PrimerCausalLM", draft: Draft) -> None:
        self.model = model
        self.draft = draft
        self._pass_cost = pass_cost(model)
        models = [model, *draft.models]
        # What a loop of the sampler reads on JAX.
        self._variables = SimpleNamespace(
            trainable_variables=[v for m in models for v in m.trainable_variables],
            non_trainable_variables=[v for m in models for v in m.non_trainable_variables],
        )

    def __call__(
        self, token_ids: Tensor, padding_mask: Tensor, stop_token_ids: Sequence[int] | None = None
    ) -> Tensor:
        """Generates for one batch.

        Args:
            token_ids: `[B, T]` integers with room for the new tokens.
            padding_mask: `[B, T]`, true on the prompts.
            stop_token_ids: Ids that end a row, or `None` to fill all rows. Defaults to `None`.

        Returns:
            `[B, T]` integers, the prompts and the new tokens.
        """
        texts = self.start(token_ids, ops.sum(ops.cast(padding_mask, "int32"), axis=-1))
        return self.run(texts, token_ids.shape[1], stop_token_ids or ()).token_ids

    def compile(self, function: Callable) -> Callable:
        """Returns a function that uses the models and the sampler, compiled."""
        model = self.model
        return compile_function(
            model, function, bool(model._jit_generate), model.sampler.variables, self.draft.models
        )

    def make_generate_function(self) -> Callable:
        """Returns the model's `generate_step`, compiled for each choice of stop tokens."""
        compiled: dict[tuple[int, ...] | None, Callable] = {}

        def generate(inputs: Inputs, stop_token_ids: Sequence[int] | None = None) -> Inputs:
            stops = None if stop_token_ids is None else tuple(stop_token_ids)
            if stops not in compiled:
                compiled[stops] = self.compile(
                    lambda inputs: self.model.generate_step(inputs, stops)
                )
            return compiled[stops]({key: ops.convert_to_tensor(x) for key, x in inputs.items()})

        return generate

    def start(self, token_ids: Tensor, lengths: Tensor) -> Texts:
        """Runs prompts.

        Args:
            token_ids: `[B, T]` integers, padded on the right, with room for the new tokens.
            lengths: `[B]` integers, the lengths of the prompts.
        """
        token_ids = ops.cast(token_ids, "int32")
        return Texts(
            token_ids,
            lengths,
            ops.zeros_like(lengths, dtype="bool"),
            self.model._fill_cache(token_ids, ops.max(lengths)),
            self.draft.start(token_ids, lengths),
            ops.convert_to_tensor(FIRST_CREDIT, dtype="float32"),
            ops.any(self.draft.has_tokens(token_ids, lengths)),
        )

    def run(self, texts: Texts, end: int | Tensor, stop_token_ids: Sequence[int] = ()) -> Texts:
        """Lets texts grow.

        Args:
            texts: What `start` or an earlier call returned.
            end: The length that each text has at least in the end.
            stop_token_ids: Ids that end a row. Defaults to none.
        """
        weights = self.model.decoding_weights()
        width = min(self.draft.length + 1, texts.token_ids.shape[1])

        def more(*state: Any) -> Tensor:
            return ops.any(_is_growing(Texts(*state), end))

        def may_draft(*state: Any) -> Tensor:
            texts = Texts(*state)
            return ops.logical_and(texts.has_draft, ops.greater(texts.credit, 0))

        def more_steps(*state: Any) -> Tensor:
            return ops.logical_and(more(*state), ops.logical_not(may_draft(*state)))

        def more_drafts(*state: Any) -> Tensor:
            return ops.logical_and(more(*state), may_draft(*state))

        def step(*state: Any) -> Texts:
            return self._advance(Texts(*state), 1, end, stop_token_ids, weights)

        def check_draft(*state: Any) -> Texts:
            return self._advance(Texts(*state), width, end, stop_token_ids, weights)

        # Loops update the cache in place. XLA would copy it for a condition within one loop.
        def both(*state: Any) -> Texts:
            state = self._loop(more_steps, step, state)
            return Texts(*self._loop(more_drafts, check_draft, state))

        return Texts(*self._loop(more, both, texts))

    def _loop(self, more: Any, body: Any, state: Any) -> Any:
        return self.model.sampler.run_loop(
            more, body, model=self._variables, loop_vars=tuple(state)
        )

    def _advance(
        self, texts: Texts, width: int, end: Any, stop_token_ids: Sequence[int], weights: Any
    ) -> Texts:
        """Runs a pass of `width` positions of each row: its last token, and a draft."""
        model, sampler, positions = self.model, self.model.sampler, texts.positions
        token_ids, state = texts.token_ids, texts.draft
        size = token_ids.shape[1]
        if width > 1:
            drafts, state = self.draft.propose(token_ids, positions, state)
            token_ids = write_tokens(token_ids, drafts, positions, positions + drafts.shape[1])
        # Near the end of the buffer, a pass starts earlier and runs some tokens again.
        start = ops.minimum(positions - 1, size - width)
        tokens = read_tokens(token_ids, start, width)
        x, cache = model._extend_cache(tokens, texts.cache, common_position(start), weights)
        logits = model._logits_of_step(x, weights)
        logits = ops.reshape(logits, (-1, logits.shape[-1]))
        chosen = sampler.get_next_token(sampler.compute_probabilities(logits))
        chosen = ops.reshape(ops.cast(chosen, "int32"), (-1, width))

        # `chosen` are tokens for the positions from `start + 1` on. A row's own tokens are kept.
        following = start[:, None] + ops.arange(1, width, dtype="int32")
        is_kept = ops.logical_or(
            ops.less(following, positions[:, None]), ops.equal(chosen[:, :-1], tokens[:, 1:])
        )
        kept = ops.sum(ops.cumprod(ops.cast(is_kept, "int32"), axis=1), axis=1)
        is_growing = _is_growing(texts, end)
        ends = ops.where(is_growing, ops.minimum(start + kept + 2, size), positions)
        token_ids = write_tokens(texts.token_ids, chosen, start + 1, ends, positions)
        stops = texts.is_stopped
        for stop in stop_token_ids:
            index = ops.arange(size, dtype="int32")[None]
            is_new = (index >= positions[:, None]) & (index < ends[:, None])
            stops = ops.logical_or(stops, ops.any(is_new & ops.equal(token_ids, stop), axis=1))

        cost = self._pass_cost + self.draft.cost if width > 1 else None
        credit = credit_after(texts.credit, is_growing, ends - positions, cost)
        has_draft = ops.logical_and(self.draft.has_tokens(token_ids, ends), is_growing)
        return Texts(
            token_ids,
            ends,
            stops,
            cache,
            state,
            credit,
            ops.any(has_draft),
        )


def pass_cost(model: "PrimerCausalLM") -> float:
    """Returns how many steps longer than one step of the model a check of a draft takes."""
    is_quantized = model.backbone.token_embedding.quantization_mode is not None
    return QUANTIZED_PASS_COST if is_quantized else PASS_COST


def credit_after(credit: Tensor, is_growing: Tensor, new: Tensor, cost: float | None) -> Tensor:
    """Returns for how many steps drafts may be wrong after a pass.

    Args:
        credit: The same before it, a scalar.
        is_growing: `[B]`, true at rows that could get tokens.
        new: `[B]` integers, the numbers of tokens that they got.
        cost: How many steps longer than a step the check of a draft took, or `None` after a step.
    """
    if cost is None:
        return ops.minimum(credit + CREDIT_OF_STEP, MOST_CREDIT)
    growing = ops.sum(ops.cast(is_growing, "float32"))
    saved = ops.cast(ops.sum(new), "float32") / growing - 1.0
    return ops.minimum(credit + saved - cost, MOST_CREDIT)


def _is_growing(texts: Texts, end: int | Tensor) -> Tensor:
    return ops.logical_and(ops.less(texts.positions, end), ops.logical_not(texts.is_stopped))


def common_position(positions: Tensor) -> Tensor:
    """Returns the positions `[B]`, and of a single row a scalar, for which caches are faster."""
    return positions[0] if positions.shape[0] == 1 else positions


def read_tokens(token_ids: Tensor, start: Tensor, width: int) -> Tensor:
    """Returns `[B, width]`, the tokens of each row `[B, T]` from its own position `[B]` on."""
    index = start[:, None] + ops.arange(width, dtype="int32")
    return ops.take_along_axis(token_ids, index, axis=1)


def write_tokens(
    token_ids: Tensor, new: Tensor, start: Tensor, end: Tensor, first: Tensor | None = None
) -> Tensor:
    """Writes tokens at positions of each row's own.

    Args:
        token_ids: `[B, T]` integers.
        new: `[B, N]` integers, the tokens for the positions from `start` on.
        start: `[B]` integers.
        end: `[B]` integers, the positions before which to write.
        first: `[B]` integers, the first positions to write. Defaults to `start`.
    """
    index = ops.arange(token_ids.shape[1], dtype="int32")[None]
    first = start if first is None else first
    is_new = ops.logical_and(index >= first[:, None], index < end[:, None])
    source = ops.clip(index - start[:, None], 0, new.shape[1] - 1)
    return ops.where(is_new, ops.take_along_axis(new, source, axis=1), token_ids)
