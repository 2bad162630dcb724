"""Times candidates in interleaved runs, each in its own process, and reports the results.

A candidate is a module of `benchmarks/candidates` with one function for each benchmark. This
function returns another one that does the work once. A few processes are alive at the same time, so
that their models fit into memory, and one of them is always the reference. They run one after the
other, round after round, so that other load on the machine affects all of them alike.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE / ".venv" / "bin" / "python"  # made by `make bench`
PEER_MODULES = ("hugging_face", "x_transformers", "ctranslate2_gpt2")
SIDE_BY_SIDE = 2  # candidates beside the reference
SMALL = {
    "vocabulary_size": 32128,
    "num_layers": 6,
    "hidden_dim": 512,
    "intermediate_dim": 2048,
    "num_heads": 8,
}
TINY = {
    **SMALL,
    "vocabulary_size": 8192,
    "hidden_dim": 128,
    "intermediate_dim": 512,
    "num_heads": 4,
}

SMOKE = {**TINY, "num_layers": 1, "vocabulary_size": 512}  # compiles quickly


class Candidate:
    """A process that does its work once for each line on its standard input.

    It imports `primer_tf` from the folder `root`.
    """

    def __init__(self, label, module, benchmark, settings, backend="tensorflow", root=HERE.parent):
        self.label = label
        python = PEERS if module in PEER_MODULES else sys.executable
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [str(python), "-m", "benchmarks.worker", module, benchmark, json.dumps(settings)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment,
            cwd=root,
        )
        self.runs = []
        self.first = self._read()  # imports, building, compilation and the first run

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise RuntimeError(f"{self.label} failed:\n{self.log.read()[-2000:]}")
        return json.loads(line)

    def run(self):
        """Does the work once more."""
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        self.runs.append(self._read())

    def close(self):
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


def measure(benchmark, candidates, settings, rounds, amount=None, flop=None, peak=None):
    """Times all candidates in small groups, each of which includes the first candidate.

    Args:
        benchmark: Name of a function in the candidates' modules.
        candidates: List of `(label, module, settings)`. The settings `backend` and `root` are those
            of `Candidate`. The first candidate is the reference.
        settings: Settings that all candidates share.
        rounds: Number of runs of each candidate.
        amount: Number of tokens in a run, or `None` to omit tokens a second.
        flop: Number of floating point operations in the matrix products of a run, or `None` to
            omit the utilization.
        peak: Operations a second that matrix products reach on this machine, or `None`.

    Returns:
        List of rows. `"ratio"` is the candidate's speed divided by the reference's in its group.
    """
    reference, *others = candidates
    groups = [others[i : i + SIDE_BY_SIDE] for i in range(0, len(others), SIDE_BY_SIDE)] or [[]]
    rows = []
    for group in groups:
        beside, *found = measure_group(benchmark, [reference, *group], settings, rounds)
        rows.extend(found if rows else [beside, *found])
        for row in (beside, *found):
            row["ratio"] = beside["seconds"] / row["seconds"]
    for row in rows:
        if amount:
            row["tokens_per_second"] = amount / row["seconds"]
            row["tokens_per_cpu_second"] = amount / row["cpu_seconds"]
        if flop and peak:
            row["utilization"] = flop / row["seconds"] / peak
    return rows


def measure_group(benchmark, candidates, settings, rounds):
    """Times candidates that are alive at the same time, one after the other, round after round."""
    started = []
    try:
        for label, module, own in candidates:
            own = dict(own)
            process = {key: own.pop(key) for key in ("backend", "root") if key in own}
            print(f"  {label} ...", end="\r", flush=True)
            started.append(Candidate(label, module, benchmark, {**settings, **own}, **process))
        for _ in range(rounds):
            for candidate in started:
                candidate.run()
    finally:
        for candidate in started:
            candidate.close()
    return [summary(candidate) for candidate in started]


def summary(candidate):
    """Returns the row of one candidate: medians, and the fastest and slowest run."""
    seconds = sorted(run["seconds"] for run in candidate.runs)
    median = statistics.median(seconds)
    return {
        "candidate": candidate.label,
        "seconds": median,
        "fastest": seconds[0],
        "slowest": seconds[-1],
        "cpu_seconds": statistics.median(run["cpu_seconds"] for run in candidate.runs),
        "first_seconds": candidate.first["seconds"],
        "peak_rss_gb": max(run["peak_rss_gb"] for run in candidate.runs),
        "versions": candidate.first["versions"],
    }


def training_flop(model, batch_size, length):
    """Returns the operations of a training step's matrix products, with attention unmasked."""
    attention = model["num_layers"] * 2 * length * model["hidden_dim"]
    return 3 * 2 * (matrix_weights(model) + attention) * batch_size * length


def matrix_weights(model):
    """Returns the number of weights in matrix products, which is nearly all weights."""
    c, inner = model["hidden_dim"], model["intermediate_dim"]
    return model["num_layers"] * (4 * c * c + 2 * c * inner) + model["vocabulary_size"] * c


def machine(smoke=False):
    """Measures the speed of the machine's matrix products and memory reads.

    Args:
        smoke: Whether to measure quickly instead of accurately.
    """
    probe = Candidate("the machine", "machine", "measure", {"smoke": smoke})
    probe.close()
    return {
        "processor": next(
            (
                line.split(":")[1].strip()
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")
            ),
            platform.machine(),
        ),
        "threads": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        **probe.first["result"],
    }


def report(name, facts, tables, output):
    """Prints tables, and writes `NAME.json` and `NAME.png`.

    Args:
        name: Name of the benchmark.
        facts: Result of `machine`.
        tables: Dict from title to rows, as returned by `measure`.
        output: Folder of the files.
    """
    print(
        f"{facts['processor']}, {facts['threads']} threads, load {facts['load']:.1f}: "
        f"{facts['matmul_gflops']:.0f} GFLOP/s in matrix products, "
        f"{facts['bfloat16_matmul_gflops']:.0f} in those of bfloat16, "
        f"{facts['read_gb_per_second']:.1f} GB/s reads"
    )
    for title, rows in tables.items():
        print(f"\n{title}")
        for row in rows:
            cells = [f"{row['candidate']:<48}", f"{row['seconds']:9.3f} s"]
            cells.append(f"({row['fastest']:.3f}-{row['slowest']:.3f})")
            if "tokens_per_second" in row:
                cells.append(f"{row['tokens_per_second']:8.0f} tokens/s")
            if "ratio" in row:
                cells.append(f"{row['ratio']:5.2f}x")
            if "utilization" in row:
                cells.append(f"{100 * row['utilization']:4.0f}% of peak")
            cells.append(f"cpu {row['cpu_seconds']:.2f} s")
            if "peak_rss_gb" in row:
                cells.append(f"{row['peak_rss_gb']:.2f} GB")
                cells.append(f"first {row['first_seconds']:.0f} s")
            print("  " + "  ".join(cells), flush=True)
    record = {"time": time.strftime("%F %T"), "machine": facts, "tables": tables}
    path = write_json(name, record, output)
    draw(path.with_suffix(".png"), tables)


def write_json(name, record, output):
    """Writes `NAME.json` into the folder `output`; returns its path."""
    path = Path(output) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n")
    return path


def draw(path, tables):
    """Draws a bar for every row."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        len(tables), 1, squeeze=False, layout="constrained", figsize=(8, 1 + 2 * len(tables))
    )
    for axis, (title, rows) in zip(axes[:, 0], tables.items(), strict=True):
        key = "tokens_per_second" if "tokens_per_second" in rows[0] else "seconds"
        labels = [row["candidate"] for row in rows]
        axis.barh(labels, [row[key] for row in rows])
        axis.invert_yaxis()
        axis.set(title=title, xlabel=key.replace("_", " "))
    figure.savefig(path, dpi=120)
    plt.close(figure)


def options(description, add_arguments=lambda parser: None):
    """Parses the arguments that all benchmarks share, and those that `add_arguments` adds."""
    parser = argparse.ArgumentParser(description=description)
    add_arguments(parser)
    parser.add_argument("--output", default="runs/bench", help="folder of the JSON and PNG files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="only our models, tiny, for one round")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.rounds = 1
    return arguments
