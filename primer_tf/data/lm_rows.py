"""Tokens in rows as T5 cuts them."""

from typing import Any

import numpy as np

from primer_tf.errors import UserError


class LmRows:
    """Tokens cut as by T5's `lm` objective: each chunk of `T` tokens ends with the end token.

    The last chunk is filled up with the pad token. T5 also fills up a chunk after each 128
    documents, and takes a random part of a document of more than 65,536 tokens; here all chunks but
    the last are full, and nothing is left out (`t5.data.preprocessors.reduce_concat_tokens` and
    `select_random_chunk`).

    Args:
        tokens: `[N]` integers, such as an array or `TokenShards`, without end tokens.
        sequence_length: Number of tokens in a chunk, `T`.
        end_token_id: The end token. Defaults to 1.

    Raises:
        UserError: A chunk has no room for a token before the end token.

    Example:

    >>> import numpy as np
    >>> from primer_tf.data.lm_rows import LmRows
    >>> LmRows(np.arange(3, 8), sequence_length=4)[:].tolist()
    [3, 4, 5, 1, 6, 7, 1, 0]
    """

    def __init__(self, tokens: Any, sequence_length: int, end_token_id: int = 1) -> None:
        if sequence_length < 2:
            raise UserError("T5's `lm` needs a sequence length of at least 2.")
        self.tokens = tokens
        self.sequence_length = sequence_length
        self.end_token_id = end_token_id
        self.num_rows = -(-len(tokens) // (sequence_length - 1))
        # Without padding.
        self.num_tokens = len(tokens) + self.num_rows

    @property
    def sha256(self) -> str:
        """The digest of the tokens that are cut."""
        return self.tokens.sha256

    def __len__(self) -> int:
        return self.num_rows * self.sequence_length

    def __getitem__(self, key: slice) -> np.ndarray:
        """Returns the tokens of a slice without steps."""
        start, stop, _ = key.indices(len(self))
        length = self.sequence_length
        first, last = start // length, -(-stop // length)
        tokens = self.tokens[first * (length - 1) : last * (length - 1)]
        rows = np.zeros((last - first, length), np.int32)  # of the pad token
        for row, begin in zip(rows, range(0, len(tokens), length - 1), strict=True):
            part = tokens[begin : begin + length - 1]
            row[: len(part)] = part
            row[len(part)] = self.end_token_id
        return rows.reshape(-1)[start - first * length : stop - first * length]
