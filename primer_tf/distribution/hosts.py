"""The processes of a run on several hosts, and what they agree on.

Importing this module imports neither TensorFlow nor Keras.
"""

import contextlib
import json
import time
from typing import Any

from primer_tf.errors import UserError, first_line

# Seconds that hosts wait for each other: to load data, or to write a preset.
PATIENCE = 24 * 3600
# Seconds in which the others can read why the first host ends, before their connection is lost.
FAREWELL = 5


class Hosts:
    """The processes that train a model together, one a host.

    They talk through the key-value store of JAX' coordination service, which the first host runs.

    Args:
        index: Number of this host, from 0. Defaults to 0.
        count: Number of hosts. Defaults to 1.
        store: The `DistributedRuntimeClient` of JAX, if there are several hosts.
    """

    def __init__(self, index: int = 0, count: int = 1, store: Any = None) -> None:
        self.index = index
        self.count = count
        self._store = store
        self._checks = 0

    @property
    def is_first(self) -> bool:
        """Whether this host writes the files of the run and prints its lines."""
        return self.index == 0

    def write(self, key: str, text: str) -> None:
        """Gives a text to all hosts, once for each key."""
        self._store.key_value_set(key, text)

    def read(self, key: str) -> str:
        """Waits for the text that a host writes."""
        return self._store.blocking_key_value_get(key, 1000 * PATIENCE)

    def check_equal(self, **facts: Any) -> None:
        """Waits for all hosts and checks that they have the same values.

        Args:
            **facts: What JSON can hold.

        Raises:
            UserError: A host has another value, or has ended with an error.
        """
        if self.count == 1:
            return
        self._state(facts)
        found = [json.loads(self.read(f"{self._checks}/{host}")) for host in range(self.count)]
        self._checks += 1
        for host, theirs in enumerate(found):
            if "error" in theirs:
                raise UserError(f"Host {host} has ended: {theirs['error']}")
        for host, theirs in enumerate(found):
            for name, value in found[0].items():
                if theirs.get(name) != value:
                    raise UserError(
                        f"The hosts disagree: {name} is {value!r} on host 0 and "
                        f"{theirs.get(name)!r} on host {host}; start all with the same options, "
                        "data and folder."
                    )

    def _state(self, facts: dict[str, Any]) -> None:
        self.write(f"{self._checks}/{self.index}", json.dumps(facts))

    def report_failure(self, error: BaseException) -> None:
        """Tells the hosts that wait for this one why it ends."""
        if self.count > 1:
            with contextlib.suppress(Exception):
                self._state({"error": first_line(error)})
            if self.is_first:
                time.sleep(FAREWELL)

    def agree_to_stop(self, step: int, number: int | None) -> int | None:
        """Returns the signal after which all hosts stop at this step.

        A step needs all hosts, so that none can end it before all have begun it. What a host writes
        before the next step, all can read at the end of that.

        Args:
            step: The number of steps done.
            number: The signal that this host has received, or `None`.

        Returns:
            The number of the signal, or `None` to go on.
        """
        if self.count == 1:
            return number
        if number is not None and not self._stop():
            with contextlib.suppress(Exception):  # Another host was faster.
                self.write("stop/at", json.dumps([step + 1, number]))
        at, agreed = self._stop() or (step + 1, None)
        return agreed if step >= at else None

    def _stop(self) -> list | None:
        return next((json.loads(text) for _, text in self._store.key_value_dir_get("stop")), None)


ALONE = Hosts()
