"""Trains individuals in Ray actors, on the cores of this machine or of a cluster."""

import dataclasses
import logging
import os
import socket
import time
from typing import Any

from primer_tf.errors import UserError
from primer_tf.installation import install_command
from primer_tf.search.config import SearchConfig
from primer_tf.search.individual import Outcome, Task
from primer_tf.search.tokens import Tokens

STORE_BYTES = 200_000_000
# An actor is replaced after so many individuals: what was compiled for them stays in its memory.
LIFETIME = 50
# Seconds beyond the longest training that a worker may take, for what cannot be interrupted.
GRACE = 60
POLL = 1.0
# Seconds that a cluster may take to accept a connection.
CONNECT = 10.0

# One thread for each worker: as many train as there are cores.
ENVIRONMENT = {
    "NPROC": "1",  # The threads of XLA's pool, which also compiles.
    "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "jax"),
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


@dataclasses.dataclass
class _Running:
    """An individual in training."""

    task: Task
    actor: Any
    since: float
    tries: int = 1


class RayEngine:
    """An engine with a Ray actor for each worker.

    A worker that dies is replaced, and its individual is trained again once. Before an individual
    is said to have failed, a new worker must start: nothing fails for what is wrong with Ray.

    Args:
        config: The configuration of the search.
        tokens: The `Tokens`.
        workers: Number of workers. Defaults to the cores of this machine, or of the cluster.
        address: Address of a Ray cluster, or `None` to start one on this machine. Defaults to
            `None`.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(
        self,
        config: SearchConfig,
        tokens: Tokens,
        workers: int | None = None,
        address: str | None = None,
    ) -> None:
        # Neither a token in the home folder nor a report to Ray's authors.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ModuleNotFoundError:
            raise UserError(
                f"ray is not installed; run: {install_command('search')}, or add --workers 0."
            ) from None
        self._ray = ray
        self._config = config
        arguments: dict[str, Any] = {"address": address}
        if address is not None:
            _check_address(address)
        else:
            workers = workers or os.cpu_count() or 1
            arguments = {
                "address": "local",  # Whatever RAY_ADDRESS says.
                "num_cpus": workers,
                "include_dashboard": False,
                "object_store_memory": STORE_BYTES,
            }
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **arguments)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(f"Ray does not start: {error}") from error
        self.num_workers = workers or int(ray.cluster_resources().get("CPU", 1))
        # Threads that move between cores lose a tenth of the time. On a cluster nobody knows which
        # cores are free.
        local = address is None and hasattr(os, "sched_getaffinity")
        self._cores = sorted(os.sched_getaffinity(0)) if local else []
        self._longest = config.max_seconds + GRACE
        self._tokens = ray.put(tokens)
        self._worker = ray.remote(_Worker).options(
            num_cpus=1, max_restarts=0, runtime_env={"env_vars": ENVIRONMENT}
        )
        self._idle: list[Any] = []
        self._ages: dict[Any, int] = {}
        self._core_of: dict[Any, int | None] = {}
        self._running: dict[Any, _Running] = {}

    @property
    def num_pending(self) -> int:
        """Number of individuals that were submitted and have not ended."""
        return len(self._running)

    def submit(self, task: Task) -> None:
        """Takes an individual that is to be trained."""
        self._start(task, tries=1)

    def _start(self, task: Task, tries: int) -> None:
        actor = self._idle.pop() if self._idle else self._new_actor()
        reference = actor.train.remote(task)
        self._running[reference] = _Running(task, actor, time.monotonic(), tries)

    def _new_actor(self) -> Any:
        taken = list(self._core_of.values())
        core = min(self._cores, key=taken.count, default=None)
        actor = self._worker.remote(self._config, self._tokens, core)
        self._ages[actor], self._core_of[actor] = 0, core
        return actor

    def next(self) -> tuple[Task, Outcome]:
        """Waits for an individual to end, and returns it with its outcome.

        Raises:
            UserError: Ray's workers do not start.
        """
        while True:
            done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=POLL)
            for reference in done:
                running = self._running.pop(reference)
                try:
                    outcome = self._ray.get(reference)
                except self._ray.exceptions.RayError as error:
                    self._end(running.actor)
                    if running.tries == 1:
                        self._start(running.task, tries=2)
                        continue
                    self._check_workers()
                    reason = f"its worker died twice: {_reason(error)}"
                    return running.task, Outcome("failed", reason=reason)
                self._give_back(running.actor)
                return running.task, outcome
            for reference, running in list(self._running.items()):
                seconds = time.monotonic() - running.since
                if seconds > self._longest:
                    del self._running[reference]
                    self._end(running.actor)
                    self._check_workers()
                    return running.task, Outcome(
                        "failed", reason="too slow: its worker was ended", seconds=seconds
                    )

    def _check_workers(self) -> None:
        """Starts a worker, or raises an error that says why none starts."""
        actor = self._new_actor()
        try:
            self._ray.get(actor.process.remote(), timeout=self._longest)
        except self._ray.exceptions.RayError as error:
            raise UserError(
                f"Ray's workers do not start: {_reason(error)}. Mend that and go on with --resume."
            ) from error
        self._idle.append(actor)

    def _give_back(self, actor: Any) -> None:
        self._ages[actor] += 1
        if self._ages[actor] < LIFETIME:
            self._idle.append(actor)
        else:
            self._end(actor)

    def _end(self, actor: Any) -> None:
        self._ages.pop(actor)
        self._core_of.pop(actor)
        self._ray.kill(actor)

    def close(self) -> None:
        """Ends the workers."""
        self._ray.shutdown()


def _check_address(address: str) -> None:
    """Raises an error if nobody listens at `HOST:PORT`, for which Ray itself waits for minutes."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not (separator and port.isdecimal()):
        return  # Such as `auto`, which Ray looks up.
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"There is no Ray cluster at {address}: {error}.") from error


def _reason(error: Exception) -> str:
    """Returns why a worker died, in one line without a full stop."""
    cause = getattr(error, "cause", None)  # Of a `RayTaskError`, whose text is a traceback.
    lines = str(cause if isinstance(cause, Exception) else error).strip().splitlines()
    if not lines:
        return type(error).__name__
    # After the first line comes the traceback of what its constructor raised.
    return lines[-1 if "creation task" in lines[0] else 0].rstrip(".")


class _Worker:
    """What runs in an actor."""

    def __init__(self, config: SearchConfig, tokens: Tokens, core: int | None) -> None:
        if core is not None:  # Before the libraries below start threads, which inherit it.
            os.sched_setaffinity(0, {core})
        from primer_tf.search.trainer import Trainer

        self._trainer = Trainer(config, tokens)

    def train(self, task: Task) -> Outcome:
        return self._trainer(task)

    def process(self) -> int:
        return os.getpid()
