"""The progress of a search, printed."""

import time
from collections.abc import Callable

from primer_tf.search.individual import STATUSES
from primer_tf.search.search import Progress


class ProgressLines:
    """Prints a line about a search every few seconds.

    Args:
        interval: Seconds between two lines. Defaults to 10.
        report: Takes the lines. Defaults to `print`.
        clock: Returns the time in seconds. Defaults to `time.monotonic`.
    """

    def __init__(
        self,
        interval: float = 10.0,
        report: Callable[[str], object] = print,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval, self._report, self._clock = interval, report, clock
        self._last = self._start = clock()
        self._before: float | None = None

    def __call__(self, progress: Progress) -> None:
        """Takes the progress after an individual."""
        now = self._clock()
        if self._before is None:
            self._before = progress.spent
        if now - self._last >= self._interval:
            self._last = now
            self._report(self.line(progress))

    def line(self, progress: Progress) -> str:
        """Returns the line about a progress."""
        counts = ", ".join(
            f"{progress.counts[status]:,} {status}"
            for status in STATUSES
            if progress.counts.get(status)
        )
        best = "none yet"
        if progress.best is not None and progress.best.outcome.loss is not None:
            best = f"{progress.best.outcome.loss:.4f} (number {progress.best.number})"
        gained = progress.spent - (self._before or 0.0)
        eta = ""
        if gained > 0 and progress.spent < progress.budget:
            rate = gained / max(1e-9, self._clock() - self._start)
            seconds = round((progress.budget - progress.spent) / rate)
            eta = f"; ETA {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return (
            f"{progress.spent:.1f} of {progress.budget:g} trainings spent: {counts}; best loss "
            f"{best}{eta}"
        )
