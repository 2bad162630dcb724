"""Swaps the versions of a model under load, and knows which of them may answer."""

import random
import shutil
import threading
import time
from collections import Counter

from tests.serving.toy_models import save_toy

FIRST = 1  # The version of the label `stable`: it is always served.
_GRAPH = "saved_model.pb"
_DATA = "variables/variables.data-00000-of-00001"
_FILES = (_GRAPH, _DATA, "variables/variables.index")
_PATIENCE_SECONDS = 30


class Versions:
    """Which versions may answer a request.

    Nobody can see from outside when the server swaps versions. So what is known is a bound on each
    side: a version may answer once its last file is about to be written, and no longer once the
    server has shown a newer one before the request was sent.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._written = {FIRST}
        self._oldest = [FIRST]  # that may answer, over time

    def write(self, number):
        """Notes that from now on a version may be loaded."""
        with self._lock:
            self._written.add(number)

    def require(self, number):
        """Notes that requests from now on are not for older versions."""
        with self._lock:
            self._oldest.append(number)

    def now(self):
        """Returns this moment, and the newest version that is known to be served."""
        with self._lock:
            return len(self._oldest) - 1, self._oldest[-1]

    def written(self):
        """Returns the versions that may ever have answered."""
        with self._lock:
            return set(self._written)

    def allowed(self, since):
        """Returns the versions that may answer a request for the newest one, newest first.

        Args:
            since: A moment before the request was sent; the answer is here.
        """
        with self._lock:
            oldest = min(self._oldest[since:])
            return sorted((n for n in self._written if n >= oldest), reverse=True)

    def must_answer(self, number, since):
        """Whether a version was available all the time since a moment before the request."""
        with self._lock:
            only = set(self._oldest[since:]) == {number} and max(self._written) == number
            return number == FIRST or only


class Swapper(threading.Thread):
    """Writes new versions all the time, and damaged ones, and removes old ones.

    Args:
        folder: The model's folder, with version 1.
        http: A client of the server.
        versions: Where it notes what may answer.
        poll_seconds: Seconds between two looks of the server at the folder.
        seed: What it does depends on this number, and on the server's pace.
    """

    def __init__(self, folder, http, versions, poll_seconds, seed):
        super().__init__(name="swapper")
        self.problems = []
        self.counts = Counter()
        self._folder = folder
        self._http = http
        self._versions = versions
        self._poll_seconds = poll_seconds
        self._chance = random.Random(seed)
        self._scratch = folder.parent / "scratch"
        self._stopping = threading.Event()

    def stop(self):
        self._stopping.set()
        self.join()

    def run(self):
        number = FIRST
        try:
            while not self._stopping.is_set():
                number += 1
                save_toy(self._scratch, number)
                if self._chance.random() < 0.3:
                    self._write_damaged(number)
                else:
                    self._write(number)
                    self._remove_some(number)
                shutil.rmtree(self._scratch, ignore_errors=True)
                self._stopping.wait(self._chance.uniform(0, 0.1))
        except Exception as error:
            self.problems.append(f"swapper: {type(error).__name__}: {error}")

    def _write(self, number):
        """Writes a version in one of three ways, and waits until it is served."""
        target = self._folder / str(number)
        match self._chance.randrange(4):
            case 0:
                self._versions.write(number)
                self._scratch.rename(target)
            case 1:
                self._versions.write(number)
                shutil.copytree(self._scratch, target)
            case _:
                self._write_slowly(number, target)
        self._wait_for(number)
        self._versions.require(number)
        self.counts["swapped in"] += 1

    def _write_slowly(self, number, target):
        """Writes half of each file, then the rest, and checks that the server waits for that.

        The first `saved_model.pb` can be loaded, too, but has another name for a signature. It is
        replaced before the server can find the folder unchanged.
        """
        contents = {name: (self._scratch / name).read_bytes() for name in _FILES}
        contents[_GRAPH] = contents[_GRAPH].replace(b"total", b"draft")
        (target / "variables").mkdir(parents=True)
        names = self._chance.sample(_FILES, len(_FILES))
        for name in names:
            half = self._chance.randrange(len(contents[name]))
            with (target / name).open("wb") as file:
                file.write(contents[name][:half])
                file.flush()
                self._pause()
                if name == names[-1]:
                    self._versions.write(number)
                    start = time.monotonic()
                file.write(contents[name][half:])
            if name != names[-1]:
                self._pause()
        time.sleep(self._chance.uniform(0.3, 0.7) * self._poll_seconds)
        shutil.copyfile(self._scratch / _GRAPH, target / _GRAPH)
        in_time = time.monotonic() - start < self._poll_seconds
        self._wait_for(number)
        metadata = self._http.get(f"/v1/models/toy/versions/{number}/metadata").text
        if in_time and '"total"' not in metadata:
            self.problems.append(f"version {number} was served before it was whole")

    def _pause(self):
        self._stopping.wait(self._chance.choice((0, 0.2, 1.5)) * self._poll_seconds)

    def _write_damaged(self, number):
        """Writes a folder that must never answer."""
        target = self._folder / str(number)
        match self._chance.randrange(5):
            case 0:
                target.mkdir()
            case 1:
                target.write_bytes(b"")
            case 2:
                shutil.copytree(self._scratch, target, ignore=lambda *_: ["variables"])
            case 3:
                self._damage(_GRAPH)
                self._scratch.rename(target)
            case 4:
                self._damage(_DATA)
                self._scratch.rename(target)
        self.counts["damaged"] += 1
        self._stopping.wait(0.3)
        if target.is_dir() and self._chance.random() < 0.5:
            shutil.rmtree(target)
        self._look()

    def _damage(self, name):
        """Cuts a file off, or replaces its end."""
        path = self._scratch / name
        content = path.read_bytes()
        half = self._chance.randrange(len(content))
        path.write_bytes(content[:half] + self._chance.choice((b"", b"\0\xff" * 99)))

    def _remove_some(self, number):
        """Removes old versions, or takes back the new one, or does nothing."""
        match self._chance.randrange(4):
            case 0 | 1:
                self._remove_but({FIRST, number})
            case 2:
                self._versions.require(FIRST)
                self._remove_but({FIRST})
                self.counts["rolled back"] += 1

    def _remove_but(self, kept):
        for path in self._folder.iterdir():
            if path.is_dir() and int(path.name) not in kept:
                shutil.rmtree(path)

    def _wait_for(self, number):
        end = time.monotonic() + _PATIENCE_SECONDS
        while number not in self._look():
            if time.monotonic() > end:
                raise TimeoutError(f"version {number} was not served: {self._look()}")
            time.sleep(0.02)

    def _look(self):
        """Returns the versions that the server says are available."""
        found = self._http.get("/v1/models/toy").json()["model_version_status"]
        available = {int(v["version"]) for v in found if v["state"] == "AVAILABLE"}
        if not available <= self._versions.written():
            self.problems.append(f"of {available}, only {self._versions.written()} are whole")
        return available
