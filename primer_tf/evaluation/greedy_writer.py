"""Greedy completions of token ids by any causal language model."""

from collections.abc import Sequence

import numpy as np
from keras import ops
from keras_hub.models import CausalLM

from primer_tf.models.completer import Completer
from primer_tf.models.primer_causal_lm import PrimerCausalLM
from primer_tf.types import Inputs


class GreedyWriter:
    """Completes prompts greedily, up to a stop text.

    A `PrimerCausalLM` stops as soon as all texts of a batch have ended. Other models fill the
    length, and are cut afterwards.

    Args:
        model: A `keras_hub.models.CausalLM` with a preprocessor, which is compiled again.
        stop: Texts before which a completion ends.
        max_new_tokens: The largest number of tokens of a completion.
    """

    def __init__(self, model: CausalLM, stop: Sequence[str], max_new_tokens: int) -> None:
        model.compile(sampler="greedy")
        self.model = model
        self.stop = stop
        self.max_new_tokens = max_new_tokens
        is_primer = isinstance(model, PrimerCausalLM)
        self._completer = Completer(model, stop) if is_primer else None

    def __call__(self, prompts: Sequence[Sequence[int]], length: int) -> list[str]:
        """Returns the completions of a batch of prompts, without the prompts.

        Args:
            prompts: The token ids of each prompt, at least one.
            length: Number of tokens that each prompt and its completion have room for.
        """
        token_ids, mask = np.zeros((2, len(prompts), length), "int32")
        for row, prompt in enumerate(prompts):
            token_ids[row, : len(prompt)] = prompt
            mask[row, : len(prompt)] = 1
        inputs = {
            "token_ids": ops.convert_to_tensor(token_ids),
            "padding_mask": ops.convert_to_tensor(mask.astype(bool)),
        }
        if self._completer is not None:
            completions = self._completer.complete(inputs, self.max_new_tokens)
            return [completion.completion for completion in completions]
        return self._fill(prompts, inputs)

    def _fill(self, prompts: Sequence[Sequence[int]], inputs: Inputs) -> list[str]:
        tokenizer = self.model.preprocessor.tokenizer
        end = tokenizer.end_token_id
        outputs = self.model.make_generate_function()(inputs, stop_token_ids=(end,))
        token_ids = ops.convert_to_numpy(outputs["token_ids"])
        texts = []
        for prompt, row in zip(prompts, token_ids, strict=True):
            new = row[len(prompt) : len(prompt) + self.max_new_tokens].tolist()
            new = new[: new.index(end)] if end in new else new
            texts.append(_before(tokenizer.detokenize(new) if new else "", self.stop))
        return texts


def _before(text: str, stop: Sequence[str]) -> str:
    """Returns a text up to the stop text that is complete first."""
    found = [(start + len(each), start) for each in stop if (start := text.find(each)) >= 0]
    return text[: min(found)[1]] if found else text
