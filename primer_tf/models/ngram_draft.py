"""Drafts from the text itself."""

from keras import ops

from primer_tf.models.speculative_decoding import Draft
from primer_tf.types import Cache, Tensor

# How many of the last tokens must have come before. Pairs come again by chance too often.
ORDER = 3


class NGramDraft(Draft):
    """Proposes what followed the last tokens where they came before (prompt lookup).

    It costs almost nothing, and guesses well where a text repeats itself or its prompt. Where the
    last occurrence overlaps the end of the text, the draft goes round in the same circle.
    """

    length = 7
    cost = 0.0

    def has_tokens(self, token_ids: Tensor, positions: Tensor) -> Tensor:
        """Returns whether the last tokens of each row came before."""
        return ops.greater(_last_occurrence(token_ids, positions), 0)

    def propose(self, token_ids: Tensor, positions: Tensor, state: Cache) -> tuple[Tensor, Cache]:
        """Proposes tokens; see `Draft`."""
        source = _last_occurrence(token_ids, positions)
        period = (positions - source)[:, None]
        steps = ops.arange(self.length, dtype="int32")[None]
        return ops.take_along_axis(token_ids, source[:, None] + steps % period, axis=1), state


def _last_occurrence(token_ids: Tensor, positions: Tensor) -> Tensor:
    """Returns where the last `ORDER` tokens ended before, `[B]`, or 0 if they did not.

    Args:
        token_ids: `[B, T]` integers.
        positions: `[B]` integers, the ends of the rows.
    """
    length = token_ids.shape[1]
    ends = ops.arange(length, dtype="int32")[None]
    matches = ops.logical_and(ops.less(ends, positions[:, None]), ops.greater_equal(ends, ORDER))
    for back in range(1, ORDER + 1):
        last = ops.maximum(positions - back, 0)[:, None]
        last = ops.take_along_axis(token_ids, last, axis=1)
        before = ops.pad(token_ids[:, :-back], ((0, 0), (back, 0)))
        matches = ops.logical_and(matches, ops.equal(before, last))
    return ops.max(ops.where(matches, ends, 0), axis=1)
