"""Which versions of which models are loaded, and when that changes."""

import contextlib
import dataclasses
import enum
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from primer_tf.serving.config import ModelConfig
from primer_tf.serving.status import Code, ServingError, from_exception
from primer_tf.serving.version_folders import Stamp, find_versions, stamp, wanted_versions

# Loads a version, given its model's name, its number and its folder. What it returns has `close()`.
Loader = Callable[[str, int, Path], Any]


class State(enum.Enum):
    """The states of a version, with the numbers of `ModelVersionStatus.State`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass
class Version:
    """A version of a model.

    Args:
        model: The model's name.
        number: The number of the version.
        folder: The folder of the version.
        state: Where the version is in its life.
        error: Why it could not be loaded, or `None`.
        loaded: What the loader returned, while the version is loaded.
        users: The number of requests that use the version now.
        tried: What the folder looked like when it was loaded, or failed to load.
    """

    model: str
    number: int
    folder: Path
    state: State = State.START
    error: ServingError | None = None
    loaded: Any = None
    users: int = 0
    tried: Stamp | None = None


class ModelManager:
    """Loads new versions, and unloads old ones when their last request is answered.

    A version is loaded once its folder has stopped changing, and the version that it replaces is
    served until then. A version that fails to load is tried again when its folder changes.

    Args:
        configs: The models.
        load: The function that loads a version.
        poll_seconds: Seconds between two looks at the folders. Defaults to 1.
    """

    def __init__(
        self, configs: Sequence[ModelConfig], load: Loader, poll_seconds: float = 1.0
    ) -> None:
        self.configs = {config.name: config for config in configs}
        self._load = load
        self._poll_seconds = poll_seconds
        self._versions: dict[str, dict[int, Version]] = {name: {} for name in self.configs}
        self._seen: dict[Path, Stamp] = {}
        self._lock = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="versions", daemon=True)

    def start(self) -> None:
        """Loads what is there, then watches the folders in a thread."""
        self.poll(at_start=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops watching, and unloads all versions."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for versions in self._versions.values():
            for version in versions.values():
                self._retire(version)

    def _watch(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            self.poll()

    def poll(self, at_start: bool = False) -> None:
        """Looks at the folders once, and loads and unloads what that calls for.

        Args:
            at_start: Whether to load folders at the first sight of them. Defaults to waiting until
                two looks at a folder are the same.
        """
        for config in self.configs.values():
            self._poll_model(config, at_start)

    def _poll_model(self, config: ModelConfig, at_start: bool) -> None:
        versions, found = self._versions[config.name], find_versions(config.folder)
        usable = {number for number in found if self._may_serve(versions.get(number), found)}
        # One failure after the other, until enough versions are loaded or none is left to try.
        while True:
            wanted = wanted_versions(config, usable)
            failed = False
            for number in sorted(wanted, reverse=True):
                version = versions.get(number)
                if version is not None and version.state is State.AVAILABLE:
                    continue
                now = stamp(found[number])
                settled = at_start or self._seen.get(found[number]) == now
                self._seen[found[number]] = now
                if settled and not self._try(config.name, number, found[number], now):
                    usable.discard(number)
                    failed = True
            if not failed:
                break
        available = {n for n, version in versions.items() if version.state is State.AVAILABLE}
        if wanted & available and not wanted - available:
            for number in available - wanted:
                self._retire(versions[number])

    def _may_serve(self, version: Version | None, found: dict[int, Path]) -> bool:
        """Returns whether a version is loaded or worth a try."""
        if version is None or version.error is None:
            return True
        return stamp(found[version.number]) != version.tried

    def _try(self, model: str, number: int, folder: Path, now: Stamp) -> bool:
        version = Version(model, number, folder, State.LOADING, tried=now)
        with self._lock:
            self._versions[model][number] = version
        try:
            loaded = self._load(model, number, folder)
            if stamp(folder) == now:
                version.loaded = loaded
            else:
                loaded.close()
                version.error = ServingError(
                    Code.UNAVAILABLE, f"{folder} has changed while it was loaded."
                )
        except Exception as error:  # A damaged folder may raise any error.
            version.error = from_exception(error)
        with self._lock:
            version.state = State.END if version.error else State.AVAILABLE
        return version.error is None

    def _retire(self, version: Version) -> None:
        with self._lock:
            if version.state is not State.AVAILABLE:
                return
            version.state = State.UNLOADING
            self._unload_if_unused(version)

    def _unload_if_unused(self, version: Version) -> None:
        if version.state is State.UNLOADING and not version.users:
            version.state = State.END
            loaded, version.loaded = version.loaded, None
            loaded.close()

    @contextlib.contextmanager
    def use(
        self, model: str, number: int | None = None, label: str | None = None
    ) -> Iterator[Version]:
        """Keeps a version loaded while the block runs.

        Args:
            model: The model's name.
            number: The number of the version. Defaults to the newest one that is available.
            label: A label of the version, in place of the number. Defaults to `None`.

        Yields:
            The version.

        Raises:
            ServingError: There is no such model, version or label.
        """
        with self._lock:
            version = self._find(model, number, label)
            version.users += 1
        try:
            yield version
        finally:
            with self._lock:
                version.users -= 1
                self._unload_if_unused(version)

    def _find(self, model: str, number: int | None, label: str | None) -> Version:
        number = self.resolve(model, number, label)
        available = {
            n: version
            for n, version in self._versions.get(model, {}).items()
            if version.state is State.AVAILABLE
        }
        if number is None and available:
            return available[max(available)]
        if number not in available:
            asked = f"Latest({model})" if number is None else f"Specific({model}, {number})"
            raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {asked}")
        return available[number]

    def resolve(self, model: str, number: int | None, label: str | None) -> int | None:
        """Returns the number of a version, or `None` if neither number nor label is given.

        Args:
            model: The model's name.
            number: The number of the version, or `None`.
            label: The label of the version, or `None`.

        Raises:
            ServingError: The model has no such label.
        """
        if label is None:
            return number
        labels = self.configs[model].labels if model in self.configs else {}
        if label not in labels:
            raise ServingError(
                Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}"
            )
        return labels[label]

    def statuses(self, model: str | None = None, number: int | None = None) -> list[Version]:
        """Returns the versions that are or were loaded, or failed to load, newest first.

        They are copies of one moment, in which a version is available if the model has any.

        Args:
            model: The model's name. Defaults to all models.
            number: The number of a version. Defaults to all versions.

        Raises:
            ServingError: The model that was named has no such version.
        """
        with self._lock:
            if model is None:
                found = [v for versions in self._versions.values() for v in versions.values()]
            else:
                found = list(self._versions.get(model, {}).values())
            found = [dataclasses.replace(v) for v in found if number in (None, v.number)]
        if model is not None and not found:
            what = "any versions" if number is None else f"version {number}"
            raise ServingError(Code.NOT_FOUND, f"Could not find {what} of model {model}")
        return sorted(found, key=lambda version: (version.model, -version.number))
