"""Packed training data: documents in one row of tokens, cut at the sequence length."""

import numpy as np

from primer_tf.errors import UserError

# The id of T5's pad piece, which no text has.
PAD = 0


class TokenChunks:
    """Documents concatenated, each closed by the end token, and cut into chunks (T5's `lm`).

        document 1             document 2
        In the beginning </s>  Now it came to pass </s> ...
        |------ chunk 0 ------||------ chunk 1 ------|| ...      `T` tokens each

    A chunk is the targets; the inputs are the same tokens shifted right by one, with the start
    token in front. The batches of training are a function of the seed and the step alone, so a
    run can start again at any step and see what it would have seen.

    Args:
        tokens: `[N]` integers.
        sequence_length: Tokens in a chunk, `T`.
        start_token_id: What the inputs of every chunk start with.

    Raises:
        UserError: No tokens.
    """

    def __init__(self, tokens, sequence_length, start_token_id=0):
        self.tokens = np.asarray(tokens)
        self.sequence_length = sequence_length
        self.start_token_id = start_token_id
        self.num_chunks = len(self.tokens) // sequence_length
        if len(self.tokens) == 0:
            raise UserError("There is no text.")

    @classmethod
    def from_documents(cls, documents, tokenizer, sequence_length):
        """Tokenizes documents, each followed by the end token.

        Args:
            documents: List of strings.
            tokenizer: A `PrimerTokenizer`.
            sequence_length: Tokens in a chunk.

        Returns:
            The `TokenChunks`.
        """
        rows = tokenizer(list(documents))
        rows = rows.to_list() if hasattr(rows, "to_list") else rows
        end = tokenizer.end_token_id
        tokens = [np.asarray([*row, end], dtype=np.int32) for row in rows]
        return cls(np.concatenate(tokens or [[]]), sequence_length, tokenizer.start_token_id)

    @classmethod
    def from_rows(cls, rows, sequence_length, start_token_id=0):
        """Takes chunks as they are; shorter ones are filled with the pad token.

        Args:
            rows: List of arrays of at most `sequence_length` ids.
            sequence_length: Tokens in a chunk.
            start_token_id: What the inputs of every chunk start with.

        Returns:
            The `TokenChunks`.
        """
        padded = np.zeros((len(rows), sequence_length), np.int32)  # of the pad token
        for target, row in zip(padded, rows, strict=True):
            target[: len(row)] = row
        return cls(padded.reshape(-1), sequence_length, start_token_id)

    @property
    def num_tokens(self):
        """How many tokens there are, without what fills a chunk."""
        return int(np.count_nonzero(self.tokens != PAD))

    def check_length(self):
        """Raises `UserError` unless there is a chunk to train on."""
        if self.num_chunks == 0:
            raise UserError(
                f"The training text is too short: {len(self.tokens)} tokens do not fill one "
                f"sequence of {self.sequence_length}; give more text or a smaller sequence length."
            )

    def training_batches(self, batch_size, seed, start_step=0):
        """Yields `(inputs, targets, weights)` for ever, from a step on.

        Every epoch takes the full chunks in an order of its own; what is left at the end of the
        text and does not fill a chunk is not used.
        """
        self.check_length()
        step, epoch, order = start_step, None, None
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

    def evaluation_steps(self, batch_size):
        """Returns the number of evaluation batches."""
        return -(-len(self.tokens) // (batch_size * self.sequence_length))

    def evaluation_batches(self, batch_size):
        """Yields every token once, in order; weights are zero on what fills the last chunk."""
        length = self.sequence_length
        rows = self.evaluation_steps(batch_size) * batch_size
        targets = np.full(rows * length, PAD, np.int32)
        targets[: len(self.tokens)] = self.tokens
        targets = targets.reshape(rows, length)
        for start in range(0, rows, batch_size):
            yield self._example(targets[start : start + batch_size])

    def _example(self, targets):
        inputs = np.empty_like(targets)
        inputs[:, 0] = self.start_token_id
        inputs[:, 1:] = targets[:, :-1]
        # A chunk is full of tokens; what fills the last one is masked by its weight.
        mask, weights = np.ones_like(targets), (targets != PAD).astype(np.float32)
        return {"token_ids": inputs, "padding_mask": mask}, targets, weights
