"""Individuals of `primer search` per hour with one Ray worker and with two.

`python -m benchmarks.search_workers`, on an otherwise idle machine. It searches at random, because
the programs of evolution depend on which training ends first, and some take ten times as long as
others. The time counts from when every worker has trained two individuals, so without imports.
"""

import argparse
import os
import tempfile
import time

from primer_tf.search.config import SearchConfig
from primer_tf.search.ray_engine import RayEngine
from primer_tf.search.search import run_search


def measure(workers: int, budget: float, seed: int) -> float:
    """Returns the individuals per hour of a search."""
    config = SearchConfig(data="demo", num_layers=1, hurdles=4, population=50, seed=seed)
    ended: list[tuple[float, int]] = []

    def report(progress):
        trained = sum(progress.counts.get(s, 0) for s in ("trained", "stopped", "failed"))
        if not ended or trained > ended[-1][1]:
            ended.append((time.monotonic(), trained))

    with tempfile.TemporaryDirectory() as folder:
        run_search(
            folder,
            budget,
            config,
            algorithm="random",
            make_engine=lambda config, tokens: RayEngine(config, tokens, workers),
            report=report,
        )
    first, last = ended[2 * workers], ended[-1]
    return 3600 * (last[1] - first[1]) / (last[0] - first[0])


def main() -> None:
    """Prints the rates, in interleaved runs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=10.0, help="trainings of the start")
    arguments = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "jax")
    print(f"{'round':>5}{'1 worker':>12}{'2 workers':>12}{'ratio':>8}   individuals per hour")
    for number in range(arguments.rounds):
        one, two = (measure(workers, arguments.budget, number) for workers in (1, 2))
        print(f"{number:>5}{one:>12.0f}{two:>12.0f}{two / one:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
