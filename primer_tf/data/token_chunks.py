"""Packed training data: documents in one row of tokens, cut at the sequence length."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from primer_tf.errors import UserError

# The id of T5's pad piece, which occurs in no text.
PAD = 0

# Inputs, targets and weights.
Batch = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]


class TokenChunks:
    """Documents, each followed by the end token, concatenated and cut into chunks (T5's `lm`).

        document 1             document 2
        In the beginning </s>  Now it came to pass </s> ...
        |------ chunk 0 ------||------ chunk 1 ------|| ...      `T` tokens each

    A chunk is the targets of an example. The inputs are the start token and the same tokens shifted
    right by one. The training batches depend on the seed and the step alone, so a run that
    continues at any step sees the batches that it would have seen.

    Args:
        tokens: `[N]` integers.
        sequence_length: Number of tokens in a chunk, `T`.
        start_token_id: First input token of every chunk. Defaults to 0.

    Raises:
        UserError: There are no tokens.

    Example:

    >>> import numpy as np
    >>> from primer_tf.data import TokenChunks
    >>> chunks = TokenChunks(np.arange(3, 11), sequence_length=4)
    >>> inputs, targets, weights = next(chunks.evaluation_batches(batch_size=1))
    >>> inputs["token_ids"].tolist(), targets.tolist()
    ([[0, 3, 4, 5]], [[3, 4, 5, 6]])
    """

    def __init__(
        self, tokens: np.typing.ArrayLike, sequence_length: int, start_token_id: int = 0
    ) -> None:
        self.tokens = np.asarray(tokens)
        self.sequence_length = sequence_length
        self.start_token_id = start_token_id
        self.num_chunks = len(self.tokens) // sequence_length
        if len(self.tokens) == 0:
            raise UserError("There is no text.")

    @classmethod
    def from_documents(
        cls, documents: Iterable[str], tokenizer: Any, sequence_length: int
    ) -> "TokenChunks":
        """Returns the chunks of documents.

        Args:
            documents: The documents.
            tokenizer: A `PrimerTokenizer`.
            sequence_length: Number of tokens in a chunk.

        Returns:
            `TokenChunks`.
        """
        rows = tokenizer(list(documents))
        rows = rows.to_list() if hasattr(rows, "to_list") else rows
        end = tokenizer.end_token_id
        tokens = [np.asarray([*row, end], dtype=np.int32) for row in rows]
        row = np.concatenate(tokens) if tokens else np.empty(0, np.int32)
        return cls(row, sequence_length, tokenizer.start_token_id)

    @classmethod
    def from_rows(
        cls, rows: Sequence[np.ndarray], sequence_length: int, start_token_id: int = 0
    ) -> "TokenChunks":
        """Returns chunks that are already cut. Shorter ones are filled with the pad token.

        Args:
            rows: Arrays of at most `sequence_length` ids.
            sequence_length: Number of tokens in a chunk.
            start_token_id: First input token of every chunk. Defaults to 0.

        Returns:
            `TokenChunks`.
        """
        padded = np.zeros((len(rows), sequence_length), np.int32)  # of the pad token
        for target, row in zip(padded, rows, strict=True):
            target[: len(row)] = row
        return cls(padded.reshape(-1), sequence_length, start_token_id)

    @property
    def num_tokens(self) -> int:
        """The number of tokens, without padding."""
        return int(np.count_nonzero(self.tokens != PAD))

    def check_length(self) -> None:
        """Raises `UserError` unless there is a full chunk to train on."""
        if self.num_chunks == 0:
            raise UserError(
                f"The training text is too short: {len(self.tokens)} tokens do not fill one "
                f"sequence of {self.sequence_length}; give more text or a smaller sequence length."
            )

    def training_batches(self, batch_size: int, seed: int, start_step: int = 0) -> Iterator[Batch]:
        """Yields batches without end. Each epoch takes all full chunks in another random order.

        Args:
            batch_size: Number of chunks in a batch.
            seed: Seed of the order of the chunks.
            start_step: Step of the first batch. Defaults to 0.

        Yields:
            `(inputs, targets, weights)`: a dict of `"token_ids"` and `"padding_mask"`, and the
            targets and weights, all `[B, T]`.

        Raises:
            UserError: The text does not fill a chunk.
        """
        self.check_length()
        step, epoch, order = start_step, -1, np.empty(0, int)
        while True:
            # At once: if there is too little memory for it, that shows here.
            targets = np.empty((batch_size, self.sequence_length), self.tokens.dtype)
            for row, index in enumerate(range(step * batch_size, (step + 1) * batch_size)):
                if index // self.num_chunks != epoch:
                    epoch = index // self.num_chunks
                    order = np.random.default_rng((seed, epoch)).permutation(self.num_chunks)
                start = order[index % self.num_chunks] * self.sequence_length
                targets[row] = self.tokens[start : start + self.sequence_length]
            yield self._example(targets)
            step += 1

    def evaluation_steps(self, batch_size: int) -> int:
        """Returns the number of evaluation batches of `batch_size` chunks."""
        return -(-len(self.tokens) // (batch_size * self.sequence_length))

    def evaluation_batches(self, batch_size: int) -> Iterator[Batch]:
        """Yields every token once, in order. The last batch is padded, with zero weights.

        Args:
            batch_size: Number of chunks in a batch.

        Yields:
            `(inputs, targets, weights)`, as `training_batches` does.
        """
        length = self.sequence_length
        rows = self.evaluation_steps(batch_size) * batch_size
        padded = np.full(rows * length, PAD, np.int32)
        padded[: len(self.tokens)] = self.tokens
        targets = padded.reshape(rows, length)
        for start in range(0, rows, batch_size):
            yield self._example(targets[start : start + batch_size])

    def _example(self, targets: np.ndarray) -> Batch:
        inputs = np.empty_like(targets)
        inputs[:, 0] = self.start_token_id
        inputs[:, 1:] = targets[:, :-1]
        # Chunks are full of tokens, except the last; padding has weight zero, so no mask is needed.
        mask, weights = np.ones_like(targets), (targets != PAD).astype(np.float32)
        return {"token_ids": inputs, "padding_mask": mask}, targets, weights
