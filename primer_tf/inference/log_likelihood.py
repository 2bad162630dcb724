"""Log likelihoods of continuations, with contexts that several share computed once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras_hub.models import CausalLM

from primer_tf.errors import UserError
from primer_tf.inference.cached_contexts import CachedContexts
from primer_tf.inference.length_bucket import length_bucket
from primer_tf.inference.repeated_contexts import RepeatedContexts
from primer_tf.inference.rolling_windows import rolling_windows
from primer_tf.models.primer_causal_lm import PrimerCausalLM


class Likelihood(NamedTuple):
    """How probable a continuation is.

    Attributes:
        log_likelihood: The log of its probability in nats, 0 if it has no tokens.
        is_greedy: Whether each of its tokens is the most probable one.
    """

    log_likelihood: float
    is_greedy: bool


class _Group(NamedTuple):
    """A context, and the continuations by their indices."""

    context: tuple[int, ...]
    continuations: dict[int, Sequence[int]]

    @property
    def length(self) -> int:
        """Number of tokens that the model sees of the longest continuation."""
        return len(self.context) + max(map(len, self.continuations.values())) - 1


class LogLikelihood:
    """Computes log likelihoods of continuations, each given its context.

    A context that several continuations share runs once through a `PrimerCausalLM`; other models
    run it again for each. Logits exist only for scored tokens, a chunk at a time. Lengths are
    rounded up, so that few shapes are compiled.

    Args:
        model: A `keras_hub.models.CausalLM`. Its layers must not change from now on.
        batch_size: Number of contexts, and of continuations, that run together. Defaults to 16.
        max_length: Number of tokens that the model sees, at least 1. Defaults to the backbone's
            `max_sequence_length`, or else to the preprocessor's `sequence_length`.

    Attributes:
        max_length: Number of tokens that the model sees.
        truncated: Number of continuations so far whose context lost tokens on its left.

    Raises:
        UserError: The model does not say what length it is meant for, and neither do you.

    Example:

    >>> from primer_tf.inference import LogLikelihood
    >>> from primer_tf.models import PrimerBackbone, PrimerCausalLM
    >>> backbone = PrimerBackbone(300, num_layers=1, hidden_dim=16, num_heads=2, head_dim=8)
    >>> score = LogLikelihood(PrimerCausalLM(backbone))
    >>> scores = score([([0, 7, 8], [9]), ([0, 7, 8], [5, 6]), ([0], [7])])
    >>> [each.log_likelihood < 0 for each in scores]
    [True, True, True]
    """

    def __init__(
        self, model: CausalLM, batch_size: int = 16, max_length: int | None = None
    ) -> None:
        max_length = max_length or getattr(model.backbone, "max_sequence_length", None)
        max_length = max_length or getattr(model.preprocessor, "sequence_length", None)
        if max_length is None:
            raise UserError(f"{type(model).__name__} has no length of its own; give max_length.")
        self.batch_size = batch_size
        self.max_length = max_length
        self.truncated = 0
        kind = CachedContexts if isinstance(model, PrimerCausalLM) else RepeatedContexts
        self._contexts: CachedContexts | RepeatedContexts = kind(model)

    def __call__(
        self,
        requests: Iterable[tuple[Sequence[int], Sequence[int]]],
        on_scores: Callable[[int], object] = lambda count: None,
    ) -> list[Likelihood]:
        """Scores continuations.

        Args:
            requests: Pairs of a context's token ids, at least one, and a continuation's. Contexts
                that are too long lose tokens on their left.
            on_scores: A function that is called with the number of continuations that have just
                been scored. Defaults to none.

        Returns:
            The `Likelihood` of each request.

        Raises:
            UserError: A context has no tokens, or a continuation more than `max_length`.
        """
        requests = list(requests)
        scores = [Likelihood(0.0, True)] * len(requests)
        # The longest first: if memory is short, the error comes at once.
        groups = sorted(self._groups(requests), key=lambda group: -group.length)
        for batch in _slices(groups, self.batch_size):
            for index, score in self._scores(batch):
                scores[index] = score
            on_scores(sum(len(group.continuations) for group in batch))
        return scores

    def rolling(self, texts: Iterable[Sequence[int]], start_id: int) -> list[float]:
        """Returns the log likelihoods of whole texts in nats.

        Longer texts than the model sees run in `rolling_windows`.

        Args:
            texts: The token ids of each text, which may be empty.
            start_id: The token before the first of each text.
        """
        windows = [list(rolling_windows(text, start_id, self.max_length)) for text in texts]
        scores = iter(self([window for text in windows for window in text]))
        return [sum(next(scores).log_likelihood for _ in text) for text in windows]

    def _groups(self, requests: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[_Group]:
        groups: dict[tuple[int, ...], _Group] = {}
        for index, (context, continuation) in enumerate(requests):
            if not len(context):
                raise UserError("A context has no tokens; begin it with a start token.")
            if len(continuation) > self.max_length:
                raise UserError(
                    f"A continuation has {len(continuation)} tokens, more than the "
                    f"{self.max_length} that the model sees; shorten it or raise max_length."
                )
            if not len(continuation):
                continue
            # The last token of a continuation is predicted and not seen.
            room = self.max_length + 1 - len(continuation)
            self.truncated += len(context) > room
            context = tuple(context[-room:])
            group = groups.setdefault(context, _Group(context, {}))
            group.continuations[index] = continuation
        return list(groups.values())

    def _scores(self, groups: Sequence[_Group]) -> Iterator[tuple[int, Likelihood]]:
        """Yields the index and the score of every continuation of some groups."""
        length = length_bucket(max(group.length for group in groups), self.max_length)
        contexts = np.zeros((length_bucket(len(groups), self.batch_size), length), "int32")
        for row, group in enumerate(groups):
            contexts[row, : len(group.context)] = group.context
        # The last token of a context runs with the continuation, whose first token it predicts.
        prefilled = self._contexts.prefill(contexts, max(len(g.context) for g in groups) - 1)
        rows = [(row, i) for row, group in enumerate(groups) for i in group.continuations]
        rows.sort(key=lambda each: -len(groups[each[0]].continuations[each[1]]))
        for batch in _slices(rows, self.batch_size):
            yield from self._extend(groups, prefilled, length, batch)

    def _extend(
        self,
        groups: Sequence[_Group],
        prefilled: Any,
        length: int,
        rows: Sequence[tuple[int, int]],
    ) -> Iterator[tuple[int, Likelihood]]:
        """Yields the index and the score of some continuations, the longest of which is first."""
        owner, index = rows[0]
        width = length_bucket(len(groups[owner].continuations[index]), length)
        size = length_bucket(len(rows), self.batch_size)
        token_ids, targets = np.zeros((2, size, width), "int32")
        owners, starts, offsets = np.zeros((3, size), "int32")
        for row, (owner, index) in enumerate(rows):
            context, continuations = groups[owner]
            continuation = continuations[index]
            first = len(context) - 1
            # Where the padding would not fit, more of the context's tokens run again.
            owners[row], starts[row] = owner, (start := min(first, length - width))
            offsets[row] = offset = first - start
            seen = [*context[start:], *continuation[:-1]]
            token_ids[row, : len(seen)] = seen
            targets[row, offset : offset + len(continuation)] = continuation
        scores = self._contexts.score(prefilled, owners, token_ids, starts, targets)
        for row, (owner, index) in enumerate(rows):
            end = offsets[row] + len(groups[owner].continuations[index])
            losses, correct = (score[row, offsets[row] : end] for score in scores)
            yield index, Likelihood(-float(losses.sum(dtype="float64")), bool(correct.all()))


def _slices(items: Sequence, size: int) -> Iterator[Sequence]:
    return (items[first : first + size] for first in range(0, len(items), size))
