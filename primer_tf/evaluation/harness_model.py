"""A causal language model as lm-evaluation-harness calls it.

The module needs the extra `[eval]`.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from keras_hub.models import CausalLM
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs
from tqdm import tqdm

from primer_tf.errors import UserError
from primer_tf.evaluation.greedy_writer import GreedyWriter
from primer_tf.inference.length_bucket import length_bucket
from primer_tf.inference.log_likelihood import LogLikelihood

logger = logging.getLogger("primer_tf")

# Tokens that a task may generate if it does not say how many; lm-eval's own default.
MAX_NEW_TOKENS = 256
# Texts that are tokenized together: a call costs as much as hundreds of texts.
TEXTS = 4096


class HarnessModel(TemplateLM):
    """A causal language model as lm-eval's tasks call it.

    A context and its continuation are tokenized together and split at the number of tokens that the
    context has alone, as by lm-eval's own models. Contexts that are too long lose tokens on their
    left, and a warning says how many.

    Args:
        model: A `keras_hub.models.CausalLM` with a preprocessor. It is compiled again, to generate
            greedily.
        batch_size: Number of texts that run together. Defaults to 16.
        max_length: Number of tokens that the model sees. Defaults to the model's own; see
            `primer_tf.inference.LogLikelihood`.
        add_start_token: Whether texts begin with the start token. Defaults to what the preprocessor
            does.

    Raises:
        UserError: The model has no preprocessor.
    """

    def __init__(
        self,
        model: CausalLM,
        batch_size: int = 16,
        max_length: int | None = None,
        add_start_token: bool | None = None,
    ) -> None:
        super().__init__()
        if model.preprocessor is None:
            raise UserError(f"{type(model).__name__} has no preprocessor, and tasks are texts.")
        self.model = model
        self.batch_size = batch_size
        self.tokenizer = model.preprocessor.tokenizer
        if add_start_token is None:
            add_start_token = model.preprocessor.add_start_token
        self.add_start_token = add_start_token
        self._score = LogLikelihood(model, batch_size, max_length)
        self._encoded: dict[str, list[int]] = {}
        self._truncated_prompts = 0

    @property
    def max_length(self) -> int:
        """Number of tokens that the model sees."""
        return self._score.max_length

    @property
    def truncated(self) -> int:
        """Number of contexts so far that were too long, each counted with every continuation."""
        return self._score.truncated + self._truncated_prompts

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return self.tokenizer.end_token_id

    @property
    def prefix_token_id(self) -> int:
        """The token before the first of a text."""
        start = getattr(self.tokenizer, "start_token_id", None)
        return self.eot_token_id if start is None else start

    def get_model_info(self) -> dict[str, Any]:
        """Returns what lm-eval writes down with the results."""
        return {
            "model_num_parameters": self.model.count_params(),
            "max_length": self.max_length,
            "truncated": self.truncated,
        }

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Returns the token ids of a text.

        Args:
            string: The text.
            add_special_tokens: Whether a start token comes first. Defaults to `add_start_token`.
            **kwargs: Nothing else is known.
        """
        self._encode([string])
        starts = self.add_start_token if add_special_tokens is None else add_special_tokens
        return [self.prefix_token_id] * starts + self._encoded[string]

    def _encode(self, texts: Iterable[str]) -> None:
        """Tokenizes texts, each once: a context comes with every continuation."""
        new = [text for text in dict.fromkeys(texts) if text not in self._encoded]
        for first in range(0, len(new), TEXTS):
            some = new[first : first + TEXTS]
            rows = self.tokenizer(some)
            rows = rows.to_list() if hasattr(rows, "to_list") else map(list, rows)
            self._encoded.update(zip(some, rows, strict=True))

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        ids, rest = super()._encode_pair(context, continuation)
        if rest:
            return ids, rest
        # All of the continuation is part of tokens that begin in the context: these are scored.
        whole = self.tok_encode(context + continuation)
        pairs = enumerate(zip(ids, whole, strict=False))
        shared = next((i for i, (a, b) in pairs if a != b), min(len(ids), len(whole)))
        if shared == len(whole):
            raise UserError(
                f"The continuation {continuation!r} of {context[-40:]!r} has no tokens; correct or "
                "remove the row of the task with this empty choice."
            )
        return whole[:shared], whole[shared:]

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool | None = None
    ) -> list[tuple[float, bool]]:
        """Returns the log likelihood in nats, and whether greedy, of each continuation.

        Args:
            requests: Requests of a context and a continuation.
            disable_tqdm: Whether to hide progress, by default unless there is a terminal.

        Raises:
            UserError: A continuation has no tokens.
        """
        for context, continuation in (request.args for request in requests):
            if not continuation:
                raise UserError(
                    f"A continuation of {context[-40:]!r} is empty; correct or remove this row."
                )
        self._encode(
            text
            for context, continuation in (request.args for request in requests)
            for text in (context.rstrip(), context + continuation)
        )
        try:
            return super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        finally:
            self._encoded.clear()

    def _loglikelihood_tokens(
        self,
        requests: list[tuple[tuple[str, str], list[int], list[int]]],
        disable_tqdm: bool | None = None,
        **kwargs: Any,
    ) -> list[tuple[float, bool]]:
        # Without a start token, a context of spaces has no tokens.
        pairs = [(context or [self.prefix_token_id], ids) for _, context, ids in requests]
        before = self.truncated
        with tqdm(total=len(pairs), desc="Log likelihoods", disable=disable_tqdm) as progress:
            scores = [(nats, greedy) for nats, greedy in self._score(pairs, progress.update)]
        self._warn(self.truncated - before, len(pairs))
        for (key, *_), score in zip(requests, scores, strict=True):
            self.cache_hook.add_partial("loglikelihood", key, score)
        return scores

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool | None = None
    ) -> list[float]:
        """Returns the log likelihood of each text in nats, in windows if it is long."""
        texts = [request.args[0] for request in requests]
        self._encode(texts)
        ids = (self.tok_encode(text, add_special_tokens=False) for text in texts)
        scores = self._score.rolling(ids, self.prefix_token_id)
        self._encoded.clear()
        for text, score in zip(texts, scores, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), score)
        return scores

    def generate_until(
        self, requests: list[Instance], disable_tqdm: bool | None = None
    ) -> list[str]:
        """Returns the greedy completion of each context, up to the first of its stop texts.

        Raises:
            UserError: A task draws at random, or leaves no room for a context.
        """
        texts = [""] * len(requests)
        self._encode(request.args[0] for request in requests)
        groups: dict[tuple[tuple[str, ...], int], list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            groups[self._settings(request.args[1])].append(index)
        before = self.truncated
        with tqdm(total=len(requests), desc="Completions", disable=disable_tqdm) as progress:
            for (stop, max_new_tokens), indices in groups.items():
                room = self.max_length - max_new_tokens
                write = GreedyWriter(self.model, stop, max_new_tokens)
                prompts = {i: self._prompt(requests[i].args[0], room) for i in indices}
                indices.sort(key=lambda index: -len(prompts[index]))
                for first in range(0, len(indices), self.batch_size):
                    some = indices[first : first + self.batch_size]
                    batch = [prompts[index] for index in some]
                    length = length_bucket(len(batch[0]) + max_new_tokens, self.max_length)
                    for index, text in zip(some, write(batch, length), strict=True):
                        texts[index] = text
                        args = requests[index].args
                        self.cache_hook.add_partial("generate_until", args, text)
                    progress.update(len(some))
        self._encoded.clear()
        self._warn(self.truncated - before, len(requests))
        return texts

    def _settings(self, asked: dict[str, Any]) -> tuple[tuple[str, ...], int]:
        """Returns the stop texts and the number of new tokens that a task asks for."""
        settings = normalize_gen_kwargs(asked, min(MAX_NEW_TOKENS, self.max_length // 2))
        if settings["do_sample"]:
            raise UserError(
                "The task draws its completions at random, and ours are greedy; give lm-eval "
                "do_sample=False in gen_kwargs."
            )
        if settings["max_gen_toks"] >= self.max_length:
            raise UserError(
                f"max_gen_toks {settings['max_gen_toks']} leaves no room for a context: the model "
                f"sees {self.max_length} tokens; lower it in gen_kwargs."
            )
        return tuple(filter(None, settings["until"])), settings["max_gen_toks"]

    def _prompt(self, context: str, room: int) -> Sequence[int]:
        ids = self.tok_encode(context) or [self.prefix_token_id]
        self._truncated_prompts += len(ids) > room
        return ids[-room:]

    def _warn(self, truncated: int, count: int) -> None:
        if truncated:
            logger.warning(
                "%d of %d contexts are longer than the model's %d tokens and lost their start.",
                truncated,
                count,
                self.max_length,
            )
