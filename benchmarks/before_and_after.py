"""Did a change make training, generation or scoring faster or slower?

`python -m benchmarks.before_and_after --before CHECKOUT` compares another checkout with this one.
The benchmarks of this checkout measure both.
"""

import os
import tempfile
from pathlib import Path

from benchmarks.harness import HERE, SMALL, SMOKE, machine, measure, options, report


def with_these_benchmarks(checkout, folder):
    """Links a checkout's package beside the benchmarks of this one; returns the folder."""
    for name in ("primer_tf", "tasks", "export", "gin"):
        os.symlink(Path(checkout).resolve() / name, Path(folder) / name)
    os.symlink(HERE, Path(folder) / "benchmarks")
    return folder


arguments = options(__doc__, lambda parser: parser.add_argument("--before", required=True))
facts = machine(arguments.smoke)
model = SMOKE if arguments.smoke else SMALL
batch_size, length, new = (2, 32, 4) if arguments.smoke else (8, 512, 128)
architectures = ("primer_ez",) if arguments.smoke else ("primer_ez", "primer")
text = {"batch_size": batch_size, "length": length}
measured = {
    "train_step": (text, batch_size * length),
    "generate": ({"batch_size": batch_size, "prompt": length // 8, "new": new}, batch_size * new),
    "score": (text, batch_size * length),
}
with tempfile.TemporaryDirectory() as folder:
    before = with_these_benchmarks(arguments.before, folder)
    tables = {
        f"{benchmark}, {architecture}": measure(
            benchmark,
            [("before", "primer", {"root": before}), ("after", "primer", {})],
            {"model": model, "architecture": architecture, **settings},
            arguments.rounds,
            tokens,
        )
        for benchmark, (settings, tokens) in measured.items()
        for architecture in architectures
    }
report("before_and_after", facts, tables, arguments.output)
