"""A text of any length as contexts and continuations that fit a model."""

from collections.abc import Iterator, Sequence


def rolling_windows(
    token_ids: Sequence[int], start_id: int, max_length: int
) -> Iterator[tuple[list[int], list[int]]]:
    """Cuts a text into windows that predict every token once.

    Each window starts anew after the last token of the one before. The last window, which predicts
    fewer tokens, sees as many tokens as the others do. Source: `get_rolling_token_windows` of
    lm-evaluation-harness.

    Args:
        token_ids: The tokens of the text.
        start_id: The token before the first, given which that one is predicted.
        max_length: Number of tokens that a window sees, at least 1.

    Yields:
        `(context, continuation)`, the tokens of a window that are given, and those that follow.

    Example:

    >>> from primer_tf.inference import rolling_windows
    >>> list(rolling_windows([1, 2, 3, 4, 5, 6], start_id=0, max_length=4))
    [([0], [1, 2, 3, 4]), ([2, 3, 4], [5, 6])]
    """
    tokens = [start_id, *token_ids]
    for first in range(1, len(tokens), max_length):
        end = min(first + max_length, len(tokens))
        yield tokens[max(0, end - max_length - 1) : first], tokens[first:end]
