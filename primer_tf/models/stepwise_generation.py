"""Generation that hands out tokens while it goes on."""

import time
from collections.abc import Iterator

import numpy as np
from keras import ops
from keras_hub.samplers import Sampler

from primer_tf.models.compile_function import compile_function
from primer_tf.models.primer_causal_lm import PrimerCausalLM
from primer_tf.types import Cache, Inputs, Tensor

# A call of the compiled function generates as many tokens as fit in so many seconds, from one to
# MOST: someone may be reading.
SECONDS = 0.1
MOST = 32


class StepwiseGenerator:
    """Generates with a model's sampler, a few tokens at a time, with one compilation.

    The tokens are those of `generate`, up to the rounding of logits. Samplers that choose among
    several texts, such as beam search, hand out everything at once.

    Args:
        model: A compiled `PrimerCausalLM`. It must not be compiled again.
    """

    def __init__(self, model: PrimerCausalLM) -> None:
        self.model = model
        # XLA compiles what it would compile of `generate`.
        jit_compile, states = bool(model._jit_generate), model.sampler.variables
        self._prefill = compile_function(model, model._fill_cache, jit_compile, states)
        self._extend = compile_function(model, self._generate, jit_compile, states)

    def __call__(self, inputs: Inputs) -> Iterator[tuple[np.ndarray, int]]:
        """Generates for one batch.

        Args:
            inputs: Dict of `"token_ids"`, `[B, T]` integers with room for the new tokens, and
                `"padding_mask"`, `[B, T]`, true on the prompts.

        Yields:
            `(token_ids, end)`: `[B, T]` integers, and the position up to which they are generated.
        """
        token_ids = ops.convert_to_tensor(inputs["token_ids"], dtype="int32")
        mask = ops.cast(ops.convert_to_tensor(inputs["padding_mask"]), "bool")
        length = int(token_ids.shape[1])
        if type(self.model.sampler).__call__ is not Sampler.__call__:
            generate = self.model.make_generate_function()
            outputs = generate({"token_ids": token_ids, "padding_mask": mask}, stop_token_ids=None)
            yield ops.convert_to_numpy(outputs["token_ids"]), length
            return
        lengths = ops.convert_to_numpy(mask).sum(axis=1)
        cache = self._prefill(token_ids, ops.convert_to_tensor(lengths.max(), dtype="int32"))
        index, count = int(lengths.min()), 1
        while index < length:
            start = time.monotonic()
            end = min(index + count, length)
            bounds = [ops.convert_to_tensor(each, dtype="int32") for each in (index, end)]
            token_ids, cache = self._extend(token_ids, mask, cache, *bounds)
            yield ops.convert_to_numpy(token_ids), end
            count, index = next_count(count, time.monotonic() - start), end

    def _generate(
        self, token_ids: Tensor, mask: Tensor, cache: Cache, index: Tensor, end: Tensor
    ) -> tuple[Tensor, Cache]:
        """Generates the tokens at the positions from `index` to `end`."""
        model, sampler = self.model, self.model.sampler
        weights = model.decoding_weights()

        def more(token_ids, cache, index):
            return index < end

        def step(token_ids, cache, index):
            before = ops.slice(token_ids, (0, index - 1), (ops.shape(token_ids)[0], 1))
            x, cache = model._extend_cache(before, cache, index - 1, weights)
            logits = model._logits_of_step(x, weights)[:, 0]
            token = sampler.get_next_token(sampler.compute_probabilities(logits))
            # Longer prompts keep their own tokens.
            token = ops.where(mask[:, index], token_ids[:, index], ops.cast(token, "int32"))
            return ops.slice_update(token_ids, (0, index), token[:, None]), cache, index + 1

        loop = (token_ids, cache, index)
        token_ids, cache, _ = sampler.run_loop(more, step, model=model, loop_vars=loop)
        return token_ids, cache


def next_count(count: int, seconds: float) -> int:
    """Returns how many tokens the next call generates, after one of `count` in some seconds."""
    return min(2 * count, MOST) if seconds < SECONDS else max(1, count // 2)
