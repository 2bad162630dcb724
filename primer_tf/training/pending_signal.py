"""Signals that a run obeys when its step is done."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = "\x1b[?25h"


class TrainingInterrupted(KeyboardInterrupt):
    """A signal has ended a run after a step, with its checkpoint saved.

    Args:
        message: What was saved and how to go on.
        number: The signal's number.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class PendingSignal(contextlib.AbstractContextManager):
    """Keeps the first SIGINT or SIGTERM of its block; a second one ends the process at once.

    The exit status is then 128 plus the signal's number. Signals that the process ignores stay
    ignored, and outside the main thread nothing changes.

    Args:
        on_first: Called without arguments, in a thread of its own, when the first signal arrives.

    Attributes:
        number: The signal's number, or `None` while there is none.
    """

    def __init__(self, on_first: Callable[[], object]) -> None:
        self.on_first = on_first
        self.number: int | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "PendingSignal":
        if threading.current_thread() is not threading.main_thread():
            return self
        # Python calls handlers between two of its operations, and a step is one of them. The pipe
        # tells of a signal at once.
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._previous_writer = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._keep)
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._previous_writer)
            os.close(self._writer)

    def _keep(self, number: int, frame: FrameType | None) -> None:
        self.number = self.number or number

    def _watch(self) -> None:
        first = True
        with os.fdopen(self._reader, "rb", buffering=0) as numbers:
            for number in iter(lambda: numbers.read(1), b""):
                if number[0] not in self._previous:
                    continue
                if not first:
                    end_at_once(128 + number[0])
                first = False
                self.on_first()


def end_at_once(status: int) -> None:
    """Ends the process without waiting for anything, and shows the terminal's cursor again."""
    if sys.stderr is not None and sys.stderr.isatty():
        os.write(sys.stderr.fileno(), SHOW_CURSOR.encode())
    os._exit(status)
