"""Packed training data: documents in one row of tokens, cut at the sequence length."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from primer_tf.data.document_tokenizer import tokenize
from primer_tf.errors import UserError
from primer_tf.tasks.text_files import cut_string

# The id of T5's pad piece, which occurs in no text.
PAD = 0

ALL_ROWS = slice(None)

# Inputs, targets and weights.
Batch = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]


def without_masks(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yields batches of full chunks without their padding masks, which `fit` takes for all ones.

    Attention then computes no masks, and on a GPU may be flash attention.

    Args:
        batches: What `TokenChunks.training_batches` yields.
    """
    for inputs, targets, weights in batches:
        yield {"token_ids": inputs["token_ids"]}, targets, weights


class TokenChunks:
    """Documents, each followed by the end token, concatenated and cut into chunks (T5's `lm`).

        document 1             document 2
        In the beginning </s>  Now it came to pass </s> ...
        |------ chunk 0 ------||------ chunk 1 ------|| ...      `T` tokens each

    A chunk is the targets of an example. The inputs are the start token and the same tokens shifted
    right by one. The training batches depend on the seed and the step alone, so a run that
    continues at any step sees the batches that it would have seen, on any number of hosts.

    Args:
        tokens: `[N]` integers: an array, or another sequence whose slices are arrays, such as
            `TokenShards`, which stays on disk.
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

    def __init__(self, tokens: Any, sequence_length: int, start_token_id: int = 0) -> None:
        self.tokens = np.asarray(tokens) if isinstance(tokens, (list, tuple)) else tokens
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
        pieces = (piece for document in documents for piece in cut_string(document))
        tokens, _ = tokenize(pieces, tokenizer.proto)
        return cls(tokens, sequence_length, tokenizer.start_token_id)

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

    @cached_property
    def num_tokens(self) -> int:
        """The number of tokens, without padding."""
        if isinstance(self.tokens, np.ndarray):
            return int(np.count_nonzero(self.tokens != PAD))
        return self.tokens.num_tokens

    @cached_property
    def sha256(self) -> str:
        """A digest of all tokens."""
        if isinstance(self.tokens, np.ndarray):
            return hashlib.sha256(self.tokens.tobytes()).hexdigest()
        return self.tokens.sha256

    def check_length(self) -> None:
        """Raises `UserError` unless there is a full chunk to train on."""
        if self.num_chunks == 0:
            raise UserError(
                f"The training text is too short: {len(self.tokens)} tokens do not fill one "
                f"sequence of {self.sequence_length}; give more text or a smaller sequence length."
            )

    def __len__(self) -> int:
        """Returns the number of full chunks."""
        return self.num_chunks

    def __getitem__(self, index: int) -> np.ndarray:
        """Returns the targets of a chunk, `[T]`."""
        return self.tokens[index * self.sequence_length : (index + 1) * self.sequence_length]

    def training_batches(
        self, batch_size: int, seed: int, start_step: int = 0, host: int = 0, num_hosts: int = 1
    ) -> Iterator[Batch]:
        """Yields batches without end. Each epoch takes all full chunks in another random order.

        Args:
            batch_size: Number of chunks in a batch of all hosts together.
            seed: Seed of the order of the chunks.
            start_step: Step of the first batch. Defaults to 0.
            host: Number of the host whose rows of each batch are wanted. Defaults to 0.
            num_hosts: Number of hosts, which divides `batch_size`. Defaults to 1.

        Yields:
            `(inputs, targets, weights)`: a dict of `"token_ids"` and `"padding_mask"`, and the
            targets and weights, all `[B / num_hosts, T]`.

        Raises:
            UserError: The text does not fill a chunk.
        """
        import grain  # Imported here, because it imports JAX if that is installed.

        self.check_length()
        rows = batch_size // num_hosts
        np.empty((rows, self.sequence_length), np.int32)  # Too little memory for it shows at once.
        # Without a number of epochs, grain counts batches of one chunk beyond 63 bits.
        chunks = grain.MapDataset.source(self).seed(seed).shuffle().repeat(2**52 // len(self) + 1)
        batches = chunks.batch(rows).map(self._example)
        # The rows of all hosts in a step are next to each other.
        own = batches[start_step * num_hosts + host :: num_hosts]
        # By index: iterators of grain read ahead in many threads, which small batches do not need.
        return (own[step] for step in itertools.count())

    def evaluation_steps(self, batch_size: int) -> int:
        """Returns the number of evaluation batches of `batch_size` chunks."""
        return -(-len(self.tokens) // (batch_size * self.sequence_length))

    def evaluation_batches(self, batch_size: int, rows: slice = ALL_ROWS) -> Iterator[Batch]:
        """Yields every token once, in order. The last batch is padded, with zero weights.

        Args:
            batch_size: Number of chunks in a batch.
            rows: The rows of each batch that are wanted. Defaults to all.

        Yields:
            `(inputs, targets, weights)`, as `training_batches` does.
        """
        size = batch_size * self.sequence_length
        for step in range(self.evaluation_steps(batch_size)):
            targets = np.full(size, PAD, np.int32)
            tokens = self.tokens[step * size : (step + 1) * size]
            targets[: len(tokens)] = tokens
            yield self._example(targets.reshape(batch_size, self.sequence_length)[rows])

    def _example(self, targets: np.ndarray) -> Batch:
        inputs = np.empty_like(targets)
        inputs[:, 0] = self.start_token_id
        inputs[:, 1:] = targets[:, :-1]
        # Chunks are full of tokens, except the last; padding has weight zero, so no mask is needed.
        mask, weights = np.ones_like(targets), (targets != PAD).astype(np.float32)
        return {"token_ids": inputs, "padding_mask": mask}, targets, weights
