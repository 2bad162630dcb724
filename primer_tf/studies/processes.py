"""Runs of studies in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from primer_tf.errors import UserError
from primer_tf.studies.study import Run
from primer_tf.training.pending_signal import PendingSignal, TrainingInterrupted

# Runs of one model that train together in one process, or `"measure"`, the step times of a study.
Job = tuple[Run, ...] | Literal["measure"]

# Several processes may share a GPU, of which neither backend takes more than it needs then.
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}


def job_name(job: Job) -> str:
    """Returns what progress and errors call a job."""
    if isinstance(job, str):
        return job
    first, *others = job
    name = f"{first.model}-{first.size}" if first.size else first.model
    return f"{len(job)} runs of {name}" if others else first.name


class Processes(AbstractContextManager):
    """Does runs of studies in processes of their own.

    In its block, SIGINT or SIGTERM lets every process save a checkpoint and end.
    """

    def __init__(self) -> None:
        self._signal = PendingSignal(self._stop)
        self._running: set[subprocess.Popen] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def __enter__(self) -> "Processes":
        self._signal.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._signal.__exit__(*exception)

    def execute(self, path: Path, job: Job) -> None:
        """Does a job; several threads may do so at a time.

        Args:
            path: The folder of the study.
            job: The job.

        Raises:
            UserError: The job failed.
            TrainingInterrupted: There was a signal.
        """
        name = job_name(job)
        # The process ends when the pipe closes, as it does when this process ends.
        reader, writer = os.pipe()
        try:
            with self._lock:
                self._check_stopped(name)
                process = self._start(path, job, reader)
                self._running.add(process)
        finally:
            os.close(reader)
        _, errors = process.communicate()
        os.close(writer)
        with self._lock:
            self._running.remove(process)
            self._check_stopped(name)
        if process.returncode:
            raise UserError(
                f"{name} failed: {_reason(process.returncode, errors)}. Finished runs are kept; "
                "run the command again."
            )

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.send_signal(signal.SIGTERM)

    def _start(self, path: Path, job: Job, lifeline: int) -> subprocess.Popen:
        what: Any = job if isinstance(job, str) else [asdict(run) for run in job]
        command = [sys.executable, "-m", "primer_tf.studies.worker", str(path), json.dumps(what)]
        return subprocess.Popen(
            [*command, str(lifeline)],
            pass_fds=[lifeline],
            stderr=subprocess.PIPE,
            text=True,
            # A group of its own: Ctrl-C is for this process, which passes it on once.
            process_group=0,
            env={**ENVIRONMENT, **os.environ},
        )

    def _check_stopped(self, name: str) -> None:
        if self._stopped:
            number = self._signal.number or signal.SIGTERM
            raise TrainingInterrupted(
                f"{signal.Signals(number).name} ended the study during {name}; the same command "
                "goes on from its last checkpoint.",
                number,
            )


def _reason(status: int, errors: str) -> str:
    """Returns why a process failed, from what it wrote on its standard error."""
    lines = [line for line in errors.splitlines() if line.strip()]
    reasons = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    reason = reasons[-1] if reasons else ": ".join([f"it ended with status {status}", *lines[-1:]])
    return reason.rstrip(".")
