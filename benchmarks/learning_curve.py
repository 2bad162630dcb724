"""How do Primer-EZ and a Transformer learn the demo text? Draws the curves of README.

Each run is `primer train` with its defaults but for the preset and the number of steps. A run that
was interrupted goes on, and one that is complete is only drawn.
"""

import argparse
import csv
import subprocess
import sys
from pathlib import Path

RUNS = {"Transformer": "tiny_transformer_vanilla", "Primer-EZ": "tiny_primer_ez"}


def train(preset, folder, steps):
    """Trains a preset, or continues its run, and returns the rows of its history."""
    options = ["--preset", preset, "--data", "demo", "--steps", str(steps), "--interval", "50"]
    if (folder / "run.json").exists():
        options = ["--resume"]
    command = [sys.executable, "-m", "primer_tf.cli", "train", *options, "--output", str(folder)]
    subprocess.run(command, check=True)
    with open(folder / "history.csv", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def draw(path, histories):
    """Draws bits per byte of the validation text over steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    for label, rows in histories.items():
        bits = [row["bits_per_byte"] for row in rows]
        axes.plot([row["step"] for row in rows], bits, ".-", label=f"{label}: {bits[-1]:.3f}")
    transformer = histories["Transformer"][-1]["bits_per_byte"]
    axes.axhline(transformer, color="gray", linewidth=0.8, linestyle="--")
    axes.set(xlabel="step", ylabel="bits per byte, validation")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--output", default="runs/bench/learning_curve", type=Path)
parser.add_argument("--steps", default=600, type=int)
parser.add_argument("--picture", default="docs/learning_curve.svg")
arguments = parser.parse_args()
draw(
    arguments.picture,
    {
        label: train(preset, arguments.output / preset, arguments.steps)
        for label, preset in RUNS.items()
    },
)
