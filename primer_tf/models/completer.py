"""Completions of prompts, as they grow."""

from collections.abc import Callable, Sequence

import numpy as np
from keras import ops

from primer_tf.errors import UserError
from primer_tf.models.completion import Completion, Detokenizer
from primer_tf.models.primer_causal_lm import PrimerCausalLM
from primer_tf.models.stepwise_generation import StepwiseGenerator
from primer_tf.models.stepwise_speculation import StepwiseSpeculation
from primer_tf.types import Inputs


class Completer:
    """Completes batches of prompts with a model's sampler, as `generate` does.

    Args:
        model: A compiled `PrimerCausalLM` with a preprocessor. It must not be compiled again.
        stop: Texts before which a completion ends. Defaults to none.
    """

    def __init__(self, model: PrimerCausalLM, stop: Sequence[str] = ()) -> None:
        assert model.preprocessor is not None
        self.model = model
        self.stop = stop
        self._preprocessor = model.preprocessor
        self._detokenizer = Detokenizer(self._preprocessor.tokenizer)
        decoding = model._speculative_decoding
        self._generator = StepwiseSpeculation(decoding) if decoding else StepwiseGenerator(model)

    def __call__(
        self,
        prompts: Sequence[str],
        max_length: int | None = None,
        max_new_tokens: int | None = None,
        on_text: Callable[[Completion, str], object] = lambda completion, text: None,
    ) -> list[Completion]:
        """Completes a batch of prompts.

        Args:
            prompts: The texts to continue.
            max_length: The largest number of tokens of prompt and completion together. Defaults to
                the preprocessor's `sequence_length`.
            max_new_tokens: The largest number of tokens of a completion. Defaults to no limit.
            on_text: A function that is called with a completion and the text that it has grown by.
                Defaults to none.

        Returns:
            The `Completion` of each prompt.

        Raises:
            UserError: A prompt leaves no room, or the model has fewer positions than asked for.
        """
        self.model.check_max_length(max_length)
        inputs = self._preprocessor.generate_preprocess(list(prompts), sequence_length=max_length)
        return self.complete(inputs, max_new_tokens, on_text)

    def complete(
        self,
        inputs: Inputs,
        max_new_tokens: int | None = None,
        on_text: Callable[[Completion, str], object] = lambda completion, text: None,
    ) -> list[Completion]:
        """Completes a batch of prompts that are token ids.

        Args:
            inputs: Dict of `"token_ids"`, `[B, T]` integers with room for the new tokens, and
                `"padding_mask"`, `[B, T]`, true on the prompts.
            max_new_tokens: The largest number of tokens of a completion. Defaults to no limit.
            on_text: A function that is called with a completion and the text that it has grown by.
                Defaults to none.

        Returns:
            The `Completion` of each prompt.
        """
        ids, mask = (ops.convert_to_numpy(inputs[key]) for key in ("token_ids", "padding_mask"))
        lengths = mask.astype(int).sum(axis=1)
        limits = np.full_like(lengths, ids.shape[1])
        if max_new_tokens is not None:
            limits = np.minimum(limits, lengths + max_new_tokens)
        completions = [
            Completion(self._detokenizer, row[:length].tolist(), self.stop)
            for row, length in zip(ids, lengths, strict=True)
        ]
        done = lengths.copy()
        for token_ids, end in self._generator(inputs):
            for row, completion in enumerate(completions):
                until = max(done[row], min(end, limits[row]))
                text = completion.add(token_ids[row, done[row] : until].tolist())
                done[row] = until
                if until == limits[row]:
                    text += completion.finish()
                if text:
                    on_text(completion, text)
            if all(completion.finish_reason for completion in completions):
                break
        return completions

    def length_for(self, prompts: Sequence[str], max_new_tokens: int) -> int:
        """Returns the `max_length` that has room for any of the prompts and its completion.

        Args:
            prompts: The texts to continue.
            max_new_tokens: The largest number of tokens of a completion.

        Raises:
            UserError: The model has fewer positions.
        """
        tokenizer, limit = self._preprocessor.tokenizer, self.model.backbone.max_sequence_length
        longest = max(len(tokenizer(prompt)) for prompt in prompts)
        longest += self._preprocessor.add_start_token
        if longest + max_new_tokens > limit:
            raise UserError(
                f"A prompt of {longest} tokens and max_new_tokens {max_new_tokens} are beyond the "
                f"model's {limit} tokens; lower max_new_tokens or shorten the prompt."
            )
        return longest + max_new_tokens
