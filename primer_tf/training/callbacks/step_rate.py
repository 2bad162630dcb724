"""How fast a run trains."""

import time


class StepRate:
    """Measures steps a second of training.

    The first step, which includes the compilation, does not count.

    Args:
        seconds: The shortest time that is measured.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._compiled = False
        self._latest = self._smoothed = 0.0

    def restart(self, step: int) -> None:
        """Restarts the clock: the time since the last measurement does not count.

        Args:
            step: The number of steps done.
        """
        self._time, self._step = time.monotonic(), step

    def measure(self, step: int) -> bool:
        """Measures the rate if enough time has passed since the last measurement.

        Args:
            step: The number of steps done.

        Returns:
            Whether there is a new measurement.
        """
        if not self._compiled:
            self._compiled = True
            self.restart(step)
        seconds = time.monotonic() - self._time
        if step == self._step or seconds < self.seconds:
            return False
        latest = self._latest = (step - self._step) / seconds
        self._smoothed = 0.7 * self._smoothed + 0.3 * latest if self._smoothed else latest
        self.restart(step)
        return True

    def describe(self, tokens_per_step: int, steps_left: int) -> str:
        """Returns tokens a second and the time left, or nothing before the first measurement.

        Args:
            tokens_per_step: The number of tokens in a batch.
            steps_left: The steps until the end of the run.
        """
        if not self._latest:
            return ""
        left = int(steps_left / self._smoothed)
        speed = f"{self._latest * tokens_per_step:,.0f} tokens/s"
        return f"  {speed}  ETA {left // 60}:{left % 60:02d}"
