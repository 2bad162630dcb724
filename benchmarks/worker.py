"""Runs one candidate of a benchmark in its own process; see `harness.py`."""

import importlib
import json
import os
import resource
import sys
import time
from importlib import metadata

PACKAGES = (
    *("tensorflow", "keras", "keras-hub", "jax", "torch", "transformers", "x-transformers"),
    "ctranslate2",
)


def versions():
    """Returns the versions of the installed packages."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cost(function):
    """Runs a function and returns its cost and result."""
    start, cpu = time.perf_counter(), time.process_time()
    result = function()
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "peak_rss_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "result": result if isinstance(result, (dict, float)) else None,
        "versions": versions(),
    }


class Work:
    """The work of a candidate, which is built on the first call.

    Args:
        module: Name of a module in `benchmarks.candidates`.
        benchmark: Name of a function in the module, which returns a function that does the work.
        settings: Arguments of the function.
    """

    def __init__(self, module, benchmark, settings):
        self.module, self.benchmark, self.settings = module, benchmark, settings
        self.function = None

    def __call__(self):
        """Does the work once."""
        if self.function is None:
            candidate = importlib.import_module(f"benchmarks.candidates.{self.module}")
            self.function = getattr(candidate, self.benchmark)(**self.settings)
        return self.function()


def main():
    """Does the work once, then once for each line of input."""
    # The results go to a copy of standard output, and the output of libraries to standard error.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module, benchmark, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    work = Work(module, benchmark, settings)
    print(json.dumps(cost(work)), file=results, flush=True)
    for _ in sys.stdin:
        print(json.dumps(cost(work)), file=results, flush=True)


if __name__ == "__main__":
    main()
