"""How much of a GPU do training, decoding and attention use, on any Keras backend?

`KERAS_BACKEND=jax python -m benchmarks.gpu` needs no TensorFlow. The cases run one after the other,
each in a process of its own, so that the memory of one does not count for another.

Shares of a peak count matrix products only, and attention without the causal mask: a function that
computes no masked scores can reach more than 100%.
"""

import contextlib
import os
import platform
import re

from benchmarks import harness
from benchmarks.harness import SMALL, SMOKE, matrix_weights, options, training_flop, write_json

# The zoo's `medium`.
MEDIUM = {
    **SMALL,
    "num_layers": 12,
    "hidden_dim": 768,
    "intermediate_dim": 3072,
    "num_heads": 12,
}
PARTS = ("training", "decoding", "attention")
MODELS = {"Primer-EZ": "primer_ez", "vanilla": "transformer_vanilla"}
# The dtype of the matrix products in each policy, and its bytes.
DTYPES = {"mixed_bfloat16": ("bfloat16", 2), "float32": ("float32", 4)}
# What the makers state for dense matrix products, in TFLOP/s. Of float32 it is TF32's, in which
# JAX and TensorFlow compute, but not PyTorch. The first name that is part of the device's counts.
PUBLISHED = {
    "H200": {"bfloat16": 989, "float32": 495},
    "H100 PCIe": {"bfloat16": 756, "float32": 378},
    "H100": {"bfloat16": 989, "float32": 495},
    "A100": {"bfloat16": 312, "float32": 156},
    "L40S": {"bfloat16": 362, "float32": 183},
    "RTX 4090": {"bfloat16": 165, "float32": 83},
}
ATTENTION = {
    "ours": {"kind": "ours"},
    "Keras": {"kind": "keras", "flash": False},
    "Keras, flash": {"kind": "keras", "flash": True},
    "Keras, flash, without a bias": {"kind": "unbiased", "flash": True},
}


def add_arguments(parser):
    """Adds the arguments of this benchmark."""
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--batch-size", type=int, default=16, help="sequences in a training step")
    parser.add_argument("--length", type=int, default=1024, help="tokens of a sequence in training")


class Benchmark:
    """Runs cases, prints each when it is done, and keeps the files up to date.

    Args:
        arguments: The parsed arguments.
    """

    def __init__(self, arguments):
        self.arguments, self.tables = arguments, {}
        self.backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        probe = self._candidate("the device", "measure", {"smoke": arguments.smoke})
        with contextlib.closing(probe):
            versions = {"python": platform.python_version(), **probe.first["versions"]}
            self.device = {**probe.first["result"], "backend": self.backend, "versions": versions}
        names = (name for name in PUBLISHED if name in self.device["device"])
        self.published = PUBLISHED.get(next(names, None), {})
        peaks = ", ".join(
            f"{peak:.1f} TFLOP/s in {dtype} products"
            for dtype, peak in self.device["matmul_tflops"].items()
        )
        print(f"{self.device['device']}, {self.backend} backend: {peaks}", end=", ")
        print(f"{self.device['read_gb_per_second']:.0f} GB/s reads")
        print(", ".join(f"{name} {version}" for name, version in versions.items()))

    def _candidate(self, label, benchmark, settings):
        return harness.Candidate(label, "device", benchmark, settings, self.backend)

    def run(self, title, label, benchmark, settings, steps=1, tokens=0, flop=0, dtype=None, read=0):
        """Runs a case and adds its row.

        Args:
            title: Title of the table.
            label: Name of the case.
            benchmark: Name of a function of `candidates/device.py`.
            settings: Arguments of the function.
            steps: Number of steps in a run.
            tokens: Number of tokens in a step, or 0 to omit tokens a second.
            flop: Operations of the matrix products in a step, or 0 to omit the utilization.
            dtype: Dtype of the matrix products.
            read: Bytes that a step must read, or 0 to omit the share of the bandwidth.
        """
        rows = self.tables.setdefault(title, [])
        if not rows:
            print(f"\n{title}")
        try:
            row = self._measure(label, benchmark, settings)
        except Exception as error:  # of a kernel that the device lacks, or of memory that it lacks
            row = {"candidate": label, "not_supported": reason(error)}
        else:
            for key in ("seconds", "fastest", "slowest"):
                row[key] /= steps
            if tokens:
                row["tokens_per_second"] = tokens / row["seconds"]
            if flop:
                rate = flop / row["seconds"] / 1e12
                row["of_measured_peak"] = rate / self.device["matmul_tflops"][dtype]
                if dtype in self.published:
                    row["of_published_peak"] = rate / self.published[dtype]
            if read:
                needed = read / row["seconds"] / 1e9
                row["of_read_bandwidth"] = needed / self.device["read_gb_per_second"]
        rows.append(row)
        print(shown(row), flush=True)
        self.write()

    def _measure(self, label, benchmark, settings):
        print(f"  {label} ...", end="\r", flush=True)
        with contextlib.closing(self._candidate(label, benchmark, settings)) as candidate:
            for _ in range(self.arguments.rounds):
                candidate.run()
            return {**harness.summary(candidate), **candidate.runs[-1]["result"]}

    def write(self):
        """Writes `gpu.json` and `gpu.png`, after every case, in case a later one is cut off."""
        record = {"device": self.device, "tables": self.tables}
        path = write_json("gpu", record, self.arguments.output)
        done = {
            title: [row for row in rows if "seconds" in row] for title, rows in self.tables.items()
        }
        if done := {title: rows for title, rows in done.items() if rows}:
            harness.draw(path.with_suffix(".png"), done)


def shown(row):
    """Returns the line of a row."""
    label = f"  {row['candidate']:<44}"
    if "not_supported" in row:
        return f"{label} not supported: {row['not_supported']}"
    cells = [f"{1e3 * row['seconds']:9.3f} ms"]
    cells.append(f"({1e3 * row['fastest']:.3f}-{1e3 * row['slowest']:.3f})")
    if "tokens_per_second" in row:
        cells.append(f"{row['tokens_per_second']:9,.0f} tokens/s")
    for key in ("of_measured_peak", "of_published_peak", "of_read_bandwidth"):
        if key in row:
            cells.append(f"{100 * row[key]:5.1f}% {key.replace('_', ' ')}")
    if row["device_peak_gb"] is not None:
        cells.append(f"{row['device_peak_gb']:.2f} GB")
    cells.append(f"first {row['first_seconds']:.0f} s")
    return "  ".join([label, *cells])


def reason(error):
    """Returns the last error that a traceback names."""
    lines = str(error).strip().splitlines() or [repr(error)]
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception): ", line)]
    return (named or lines)[-1]


def training(bench, model, models, dtypes):
    """Trains on random batches."""
    batch_size, length, steps = bench.arguments.batch_size, bench.arguments.length, 30
    if bench.arguments.smoke:
        batch_size, length, steps = 2, 32, 1
    shared = {"model": model, "batch_size": batch_size, "length": length, "steps": steps}
    for policy in dtypes:
        for label, architecture in models.items():
            bench.run(
                f"training, {batch_size} x {length} tokens a step",
                f"{label}, {policy}",
                "train_step",
                {**shared, "architecture": architecture, "dtype": policy},
                steps,
                tokens=batch_size * length,
                flop=training_flop(model, batch_size, length),
                dtype=DTYPES[policy][0],
            )


def decoding(bench, model, models, dtypes):
    """Decodes greedily; a step is a new token of every sequence."""
    prompt, new, batch_sizes = 64, 128, (1, 32)
    if bench.arguments.smoke:
        prompt, new, batch_sizes = 4, 4, (1,)
    shared = {"model": model, "prompt": prompt, "new": new}
    for batch_size in batch_sizes:
        for policy in dtypes:
            for label, architecture in models.items():
                bench.run(
                    f"decoding, batch {batch_size}",
                    f"{label}, {policy}",
                    "generate",
                    {
                        **shared,
                        "batch_size": batch_size,
                        "architecture": architecture,
                        "dtype": policy,
                    },
                    steps=new,
                    tokens=batch_size,
                    read=matrix_weights(model) * DTYPES[policy][1],
                )


def attention(bench, dtypes):
    """Attends with a position bias, and computes gradients."""
    shapes = [(8, 16, 1024, 64), (8, 16, 4096, 64)]
    if bench.arguments.smoke:
        shapes = [(1, 2, 32, 8)]
    steps = 1 if bench.arguments.smoke else 10
    for shape in shapes:
        batch_size, heads, length, channels = shape
        for policy in dtypes:
            dtype = DTYPES[policy][0]
            for label, settings in ATTENTION.items():
                bench.run(
                    f"attention and its gradient, {list(shape)}",
                    f"{label}, {dtype}",
                    "attention",
                    {**settings, "shape": shape, "dtype": dtype, "repeats": steps},
                    steps,
                    flop=3 * 4 * batch_size * heads * length**2 * channels,
                    dtype=dtype,
                )


def main():
    """Runs all parts, prints tables, and writes `gpu.json` and `gpu.png`."""
    arguments = options(__doc__.splitlines()[0], add_arguments)
    model, models, dtypes = MEDIUM, MODELS, tuple(DTYPES)
    if arguments.smoke:
        model, models, dtypes = SMOKE, {"Primer-EZ": "primer_ez"}, ("mixed_bfloat16",)
    bench = Benchmark(arguments)
    if "training" in arguments.parts:
        training(bench, model, models, dtypes)
    if "decoding" in arguments.parts:
        decoding(bench, model, models, dtypes)
    if "attention" in arguments.parts:
        attention(bench, dtypes)


if __name__ == "__main__":
    main()
