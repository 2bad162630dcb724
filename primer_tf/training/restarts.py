"""What a run has skipped of its data after it diverged."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from primer_tf.distribution.hosts import ALONE, Hosts
from primer_tf.errors import UserError
from primer_tf.files import atomic_write
from primer_tf.types import StrPath

FILE = "restarts.json"


class Restarts:
    """The restarts of a run, in a file that a resumed run reads.

    A run that diverges goes on from a checkpoint with the data after those that it diverged on
    (Chowdhery et al. 2022, section 5.1). From the step of the checkpoint on, it is so many steps
    further in the data.

    Args:
        path: The file, which need not exist.
        hosts: The `Hosts` of the run, of which the first one writes. By default there is one.

    Raises:
        UserError: The file is damaged.
    """

    def __init__(self, path: StrPath, hosts: Hosts = ALONE) -> None:
        self.path = Path(path)
        self.hosts = hosts
        self._restarts = _read(self.path) if self.path.exists() else []

    def __len__(self) -> int:
        return len(self._restarts)

    def add(self, step: int, diverged_at: int, reason: str) -> None:
        """Records a restart.

        Args:
            step: The step of the checkpoint.
            diverged_at: The step at which training had diverged.
            reason: What was found there.
        """
        restart = {"step": step, "skipped_steps": diverged_at - step, "reason": reason}
        self._restarts.append(restart)
        if self.hosts.is_first:
            atomic_write(self.path, json.dumps(self._restarts, indent=2) + "\n")

    def position(self, step: int) -> int:
        """Returns how many steps of data lie before those of a step."""
        return step + sum(each["skipped_steps"] for each in self._restarts if each["step"] <= step)

    def batches(
        self, batches_from: Callable[[int], Iterator[Any]], step: int, per_step: int
    ) -> Iterator[Any]:
        """Yields the batches of a run.

        Args:
            batches_from: Function from a number of batches to the batches after these.
            step: The step of the first batch.
            per_step: Number of batches in a step.
        """
        later = {each["step"] for each in self._restarts if each["step"] > step}
        for start, end in itertools.pairwise([step, *sorted(later)]):
            stream = batches_from(per_step * self.position(start))
            yield from itertools.islice(stream, per_step * (end - start))
            step = end
        yield from batches_from(per_step * self.position(step))


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        restarts = json.loads(path.read_text(encoding="utf-8"))
        return [
            {
                "step": int(each["step"]),
                "skipped_steps": int(each["skipped_steps"]),
                "reason": str(each["reason"]),
            }
            for each in restarts
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged, and with it what the run has skipped of its data; restore it from "
            "a copy."
        ) from error
