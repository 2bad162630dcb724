"""The shapes of the values in a program."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ValueShape:
    """What one branch holds for each sequence: channels of positions, or scores of pairs.

    Channels are `[T, D]`. Scores are `[T, T]`, of queries against keys; before the causal mask
    those of keys in the future count as well, after it they belong to no result.

    Attributes:
        channels: `D`, or `None` for scores.
        masked: Whether scores are behind the causal mask. Defaults to `False`.
    """

    channels: int | None
    masked: bool = False

    @property
    def is_scores(self) -> bool:
        """Whether the value is scores."""
        return self.channels is None

    def size(self, sequence_length: int) -> int:
        """Returns the number of values for a position."""
        return sequence_length if self.channels is None else self.channels

    def __str__(self) -> str:
        if self.channels is None:
            return "masked scores" if self.masked else "scores"
        return f"{self.channels} channel{'s' if self.channels > 1 else ''}"


SCORES = ValueShape(None)
MASKED_SCORES = ValueShape(None, masked=True)
