"""One subject of a benchmark in a process of its own; see `harness.py`."""

import importlib
import json
import os
import resource
import sys
import time
from importlib import metadata

# Answers go to a copy of standard output; what libraries print goes elsewhere.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
PACKAGES = ("tensorflow", "keras", "keras-hub", "jax", "torch", "transformers", "x-transformers")


def versions():
    """Returns the versions of what is installed here."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def measured(function):
    """Runs a function and writes what it cost."""
    start, cpu = time.perf_counter(), time.process_time()
    result = function()
    answer = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "peak_rss_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "result": result if isinstance(result, (dict, float)) else None,
        "versions": versions(),
    }
    ANSWERS.write(json.dumps(answer) + "\n")
    ANSWERS.flush()


def main():
    """Builds the subject, runs it once, then once for every line of input."""
    module, question, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    work = []

    def first():
        subject = importlib.import_module(f"benchmarks.subjects.{module}")
        work.append(getattr(subject, question)(**settings))
        return work[0]()

    measured(first)
    for _ in sys.stdin:
        measured(work[0])


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    main()
