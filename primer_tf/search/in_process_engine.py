"""Trains individuals in this process, one at a time."""

from collections import deque

from primer_tf.search.config import SearchConfig
from primer_tf.search.individual import Outcome, Task
from primer_tf.search.tokens import Tokens


class InProcessEngine:
    """An engine of one worker. Its interface is that of every engine.

    Args:
        config: The configuration of the search.
        tokens: The `Tokens`.
    """

    num_workers = 1

    def __init__(self, config: SearchConfig, tokens: Tokens) -> None:
        from primer_tf.search.trainer import Trainer

        self._trainer = Trainer(config, tokens)
        self._tasks: deque[Task] = deque()

    @property
    def num_pending(self) -> int:
        """Number of individuals that were submitted and have not ended."""
        return len(self._tasks)

    def submit(self, task: Task) -> None:
        """Takes an individual that is to be trained."""
        self._tasks.append(task)

    def next(self) -> tuple[Task, Outcome]:
        """Waits for an individual to end, and returns it with its outcome."""
        task = self._tasks.popleft()
        return task, self._trainer(task)

    def close(self) -> None:
        """Ends the workers."""
