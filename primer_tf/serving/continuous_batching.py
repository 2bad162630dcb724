"""Completions of several clients in one batch, which they join and leave at any time."""

import collections
import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from primer_tf.serving.metrics import Metrics
from primer_tf.serving.saved_model import SavedModel
from primer_tf.serving.status import Code, ServingError, from_exception

# Tokens of each row between two looks for clients that join or leave. A step takes a few
# milliseconds, and every call copies the cache. The first tokens of a row come sooner.
STEPS = 16
FIRST_STEPS = 4
SHORTEST_CACHE = 64
_CACHE = "cache_"


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the tokens of a row are chosen; see the signature `generate`."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0


@dataclasses.dataclass
class Tokens:
    """Some new tokens of a row.

    Args:
        token_ids: The tokens, without the end token.
        log_probabilities: Their log probabilities.
        alternatives: For each token, the most probable ones with their log probabilities.
        finish_reason: `"stop"` after the end token, `"length"` after the last one that was asked
            for, else `None`.
    """

    token_ids: list[int]
    log_probabilities: list[float]
    alternatives: list[list[tuple[int, float]]]
    finish_reason: str | None = None


@dataclasses.dataclass(eq=False)
class Row:
    """A text that is to be continued.

    Args:
        token_ids: The tokens of the prompt, to which the new ones are added.
        max_new_tokens: Largest number of new tokens, at least 1.
        sampling: How they are chosen.
        num_alternatives: Number of most probable tokens to return.
        deliver: Called in the batcher's thread with `Tokens`, until they have a reason to finish,
            or with a `ServingError`.
        is_done: Whether nobody waits for more tokens. Whoever does not may set it.
        is_new: Whether it has got no tokens yet.
    """

    token_ids: list[int]
    max_new_tokens: int
    sampling: Sampling
    num_alternatives: int
    deliver: Callable[[Tokens | ServingError], None]
    is_done: bool = False
    is_new: bool = True

    def __post_init__(self) -> None:
        self.end = len(self.token_ids) + self.max_new_tokens


class ContinuousBatcher:
    """Decodes rows together in a thread of its own, with an export's `prefill` and `decode`.

    Args:
        saved_model: The export.
        description: The content of its `export.json`.
        max_rows: Rows that are decoded together; others wait.
        metrics: Where tokens are counted.
    """

    def __init__(
        self,
        saved_model: SavedModel,
        description: dict[str, Any],
        max_rows: int,
        metrics: Metrics,
    ) -> None:
        self._saved_model = saved_model
        self._max_rows = max_rows
        self._max_length = description["max_length"]
        self._end_token_id = description["end_token_id"]
        self._pad_token_id = description["pad_token_id"]
        self._jit_compile = description["jit_compile"]
        # For how many steps drafts may still be wrong; `None` without drafts.
        self._credit = description.get("draft_credit")
        self._metrics = metrics
        self._waiting: collections.deque[Row] = collections.deque()
        self._rows: list[Row] = []
        self._cache: dict[str, tf.Tensor] = {}
        self._length = 0  # positions that the cache has room for
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, row: Row) -> None:
        """Lets a row join as soon as there is room for it.

        Args:
            row: The row.

        Raises:
            ServingError: The batcher is closed.
        """
        with self._changed:
            if self._is_closed:
                raise ServingError(Code.UNAVAILABLE, "The version is being unloaded.")
            self._waiting.append(row)
            self._changed.notify()

    def close(self) -> None:
        """Ends the thread; rows that are not finished get an error."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._rows or self._is_closed)
                if self._is_closed:
                    break
                self._waiting = collections.deque(row for row in self._waiting if not row.is_done)
                kept = [row for row in self._rows if not row.is_done]
                room = min(self._max_rows - len(kept), len(self._waiting))
                new = [self._waiting.popleft() for _ in range(room)]
            try:
                self._rebatch(kept, new)
                if self._rows:
                    self._decode()
            except Exception as error:  # Out of memory, for example.
                self._fail([*kept, *new], from_exception(error))
        closed = ServingError(Code.UNAVAILABLE, "The version was unloaded.")
        self._fail([*self._rows, *self._waiting], closed)

    def _fail(self, rows: Sequence[Row], error: ServingError) -> None:
        self._rows, self._cache, self._length = [], {}, 0
        for row in rows:
            row.deliver(error)

    def _rebatch(self, kept: list[Row], new: list[Row]) -> None:
        """Makes the batch that of the rows `kept` and `new`."""
        if not new and len(kept) == len(self._rows):
            return
        index = [self._rows.index(row) for row in kept]
        caches = [self._cache] if kept else []
        self._rows = [*kept, *new]
        if not self._rows:
            self._cache, self._length = {}, 0
            return
        if new:
            # The last call for a row may run beyond its end.
            self._grow(STEPS + max(row.end for row in new))
            index += range(self._size(caches), self._size(caches) + len(new))
            caches = [*caches, self._prefill(new)]
        index += [index[-1]] * (self._round_up(len(index)) - len(index))
        self._cache = {name: _join([c[name] for c in caches], index) for name in caches[-1]}

    def _size(self, caches: list[dict[str, tf.Tensor]]) -> int:
        return sum(next(iter(cache.values())).shape[0] for cache in caches)

    def _round_up(self, rows: int) -> int:
        # XLA compiles for each number of rows.
        return 1 << (rows - 1).bit_length() if self._jit_compile else rows

    def _grow(self, needed: int) -> None:
        """Chooses a number of positions of which there are few, and no fewer than before."""
        length = SHORTEST_CACHE
        while length < needed:
            length *= 2
        self._length = max(self._length, min(length, self._max_length))

    def _prefill(self, rows: list[Row]) -> dict[str, tf.Tensor]:
        lengths = np.array([len(row.token_ids) for row in rows], "int32")
        token_ids = np.full((len(rows), lengths.max()), self._pad_token_id, "int32")
        for target, row in zip(token_ids, rows, strict=True):
            target[: len(row.token_ids)] = row.token_ids
        padding = [(0, self._round_up(len(rows)) - len(rows))]
        inputs = {
            "token_ids": np.pad(token_ids, [*padding, (0, 0)], mode="edge"),
            "lengths": np.pad(lengths, padding, mode="edge"),
            "cache_length": np.array(self._length, "int32"),
        }
        outputs = self._saved_model.predict("prefill", inputs)
        return {name: value for name, value in outputs.items() if name.startswith(_CACHE)}

    def _decode(self) -> None:
        """Runs some steps of all rows, and hands out the tokens."""
        rows, size = self._rows, self._size([self._cache])
        limit = FIRST_STEPS if any(row.is_new for row in rows) else STEPS
        steps = min(limit, max(row.end - len(row.token_ids) for row in rows))
        padded = [*rows, *[rows[-1]] * (size - len(rows))]
        sampling = [dataclasses.asdict(row.sampling) for row in padded]
        has_penalty = any(row.sampling.repetition_penalty != 1 for row in rows)
        has_draft = self._credit is not None
        seen = [row.token_ids if has_penalty or has_draft else [] for row in padded]
        width = max(1, *map(len, seen))
        inputs = {
            **self._cache,
            "token_ids": np.array([row.token_ids[-1] for row in padded], "int32"),
            "positions": np.array([len(row.token_ids) - 1 for row in padded], "int32"),
            "steps": np.array(steps, "int32"),
            "num_alternatives": np.array(max(row.num_alternatives for row in rows), "int32"),
            "seen_ids": np.array([ids + [-1] * (width - len(ids)) for ids in seen], "int32"),
            **{
                field.name: np.array(
                    [each[field.name] for each in sampling],
                    "float32" if field.type is float else "int32",
                )
                for field in dataclasses.fields(Sampling)
            },
        }
        if has_draft:
            inputs["draft_credit"] = np.array(self._credit, "float32")
        outputs = self._saved_model.predict("decode", inputs)
        if has_draft:
            self._credit = float(outputs.pop("draft_credit"))
        self._cache = {name: outputs.pop(name) for name in self._cache}
        arrays = {name: value.numpy().tolist() for name, value in outputs.items()}
        for index, row in enumerate(rows):
            self._hand_out(row, {name: value[index] for name, value in arrays.items()})

    def _hand_out(self, row: Row, outputs: dict[str, list]) -> None:
        token_ids = outputs["token_ids"][: row.end - len(row.token_ids)]
        reason = "length" if len(row.token_ids) + len(token_ids) == row.end else None
        if self._end_token_id in token_ids:
            token_ids, reason = token_ids[: token_ids.index(self._end_token_id)], "stop"
        count = row.num_alternatives
        alternatives = [
            list(zip(ids[:count], values[:count], strict=True))
            for ids, values in zip(
                outputs["alternative_ids"], outputs["alternative_log_probabilities"], strict=True
            )
        ]
        row.token_ids += token_ids
        row.is_new = False
        row.is_done |= reason is not None
        self._metrics.tokens.inc(len(token_ids))
        tokens = Tokens(
            token_ids,
            outputs["log_probabilities"][: len(token_ids)],
            alternatives[: len(token_ids)],
            reason,
        )
        row.deliver(tokens)


def _join(tensors: list[tf.Tensor], index: list[int]) -> tf.Tensor:
    """Returns some rows of tensors `[B, N, C]` under one another, all with the largest `N`."""
    length = max(tensor.shape[1] for tensor in tensors)
    padded = [
        tf.pad(tensor, [[0, 0], [0, length - tensor.shape[1]], [0, 0]])
        if tensor.shape[1] < length
        else tensor
        for tensor in tensors
    ]
    joined = padded[0] if len(padded) == 1 else tf.concat(padded, axis=0)
    return joined if index == list(range(joined.shape[0])) else tf.gather(joined, index)
