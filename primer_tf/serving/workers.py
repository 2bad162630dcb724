"""Threads that run models, and the limit of requests that use them."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import TypeVar

from primer_tf.serving.metrics import Metrics
from primer_tf.serving.status import Code, ServingError, from_exception

T = TypeVar("T")


class Workers:
    """Runs requests in threads, and counts them.

    Args:
        metrics: Where they are counted.
        max_requests: Requests that are in work at the same time.
        timeout_seconds: Seconds after which a request is given up.
    """

    def __init__(self, metrics: Metrics, max_requests: int, timeout_seconds: float) -> None:
        self._metrics = metrics
        self._places = BoundedSemaphore(max_requests)
        self._timeout_seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(max_requests, thread_name_prefix="request")

    @contextlib.contextmanager
    def request(self, api: str, model: str) -> Iterator[None]:
        """Counts the block as one request.

        Args:
            api: What was asked for, such as `"predict"`.
            model: The name of a model that exists, or an empty string.

        Raises:
            ServingError: Too many requests are in work, or the block raised an error.
        """
        start, code = time.perf_counter(), Code.OK
        taken = self._places.acquire(blocking=False)
        try:
            if not taken:
                raise ServingError(Code.UNAVAILABLE, "Too many requests are in work; try again.")
            with self._metrics.in_flight.track_inprogress():
                yield
        except Exception as error:
            answer = from_exception(error)
            code = answer.code
            raise answer from error
        finally:
            if taken:
                self._places.release()
            self._metrics.requests.labels(api, model, code.name).inc()
            self._metrics.latency.labels(api).observe(time.perf_counter() - start)

    async def run(self, function: Callable[[], T]) -> T:
        """Returns what a function returns that runs in a thread.

        Args:
            function: The function.

        Raises:
            ServingError: It took too long.
        """
        future = asyncio.get_running_loop().run_in_executor(self._threads, function)
        try:
            return await asyncio.wait_for(future, self._timeout_seconds)
        except TimeoutError:
            message = f"The request took more than {self._timeout_seconds:g} seconds."
            raise ServingError(Code.DEADLINE_EXCEEDED, message) from None

    def close(self) -> None:
        """Waits for no one: threads end with their requests."""
        self._threads.shutdown(wait=False, cancel_futures=True)
