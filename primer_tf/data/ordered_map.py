"""A function applied by several processes, with results in order and bounded memory."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from primer_tf.errors import UserError

Key = TypeVar("Key")

# The function of a worker process.
_function: Callable[[Any], Any]


def ordered_map(
    make_function: Callable[[], Callable[[Any], Any]],
    items: Iterable[tuple[Key, Any]],
    workers: int,
) -> Iterator[tuple[Key, Any]]:
    """Yields the results of a function in the order of its arguments.

    At most two arguments for each process are in memory at a time.

    Args:
        make_function: Makes the function, once in each process. Both must be picklable.
        items: Pairs of a key, which stays in this process, and an argument.
        workers: Number of processes; with 1, this process does the work itself.

    Yields:
        Pairs of a key and a result.

    Raises:
        UserError: A process has ended.
    """
    if workers == 1:
        function = make_function()
        for key, argument in items:
            yield key, function(argument)
        return
    context = multiprocessing.get_context("spawn")  # A fork copies the locks of threads.
    pool = ProcessPoolExecutor(workers, context, _start, (make_function,))
    waiting: deque[tuple[Key, Future]] = deque()
    try:
        for key, argument in items:
            waiting.append((key, pool.submit(_call, argument)))
            if len(waiting) == 2 * workers:
                key, result = waiting.popleft()
                yield key, result.result()
        while waiting:
            key, result = waiting.popleft()
            yield key, result.result()
    except BrokenProcessPool as error:
        raise UserError(
            "A worker process has ended, perhaps for lack of memory; run the command again, with "
            "fewer --workers."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start(make_function: Callable[[], Callable[[Any], Any]]) -> None:
    """Prepares a worker process."""
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends this process.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _function = make_function()


def _end_with_parent() -> None:
    """Ends this process with its parent, even if that is killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _call(argument: Any) -> Any:
    return _function(argument)
