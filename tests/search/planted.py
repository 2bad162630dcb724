"""How many individuals it takes to find Primer's two edits, if each lowers the loss.

`python -m tests.search.planted` prints it for evolution and for random search, seed by seed.
Nothing is trained: the loss of a program is 5, less 1 for squared ReLU, less 1 for convolutions
after Q, K and V, and a little more for each operation more or less than the start has. It takes
minutes.
"""

import argparse
import tempfile
from pathlib import Path
from unittest import mock

from primer_tf.search import search as search_module
from primer_tf.search.config import SearchConfig
from primer_tf.search.individual import Outcome
from primer_tf.search.search import run_search
from primer_tf.search.tokens import Tokens
from tests.search.fake_engine import FakeEngine, edits_found, planted

OPERATIONS = "add,multiply,square,max,sigmoid,tanh,scale,shift,conv_1x1,depthwise_conv_3x1"
WITHIN = 1500


def individuals_until_both(folder, algorithm, seed, most):
    """Returns how many programs were trained until one had both edits, or `None`.

    Args:
        folder: A folder for the record.
        algorithm: `"evolution"` or `"random"`.
        seed: Seed of the search.
        most: Number of programs after which the search ends.
    """
    engine, found = FakeEngine(), []

    def train(task):
        if all(edits_found(task.program)):
            found.append(len(engine.trained))
            return Outcome("trained", 3.0, (3.0,), spent=1e9)
        return planted(task)

    engine.train = train
    config = SearchConfig(
        data="none", population=30, tournament=6, operations=OPERATIONS, seed=seed
    )
    nothing = Tokens(None, None)
    with mock.patch.object(search_module, "prepare_tokens", lambda config, directory: nothing):
        run_search(folder, most, config, algorithm, lambda config, tokens: engine)
    return found[0] if found else None


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--most", type=int, default=WITHIN)
    arguments = parser.parse_args()
    print(f"{'seed':>4}{'evolution':>12}{'random':>12}")
    for seed in range(arguments.seeds):
        counts = []
        for algorithm in ("evolution", "random"):
            with tempfile.TemporaryDirectory() as folder:
                counts.append(individuals_until_both(Path(folder), algorithm, seed, arguments.most))
        shown = [str(count or f"> {arguments.most}") for count in counts]
        print(f"{seed:>4}{shown[0]:>12}{shown[1]:>12}", flush=True)


if __name__ == "__main__":
    main()
