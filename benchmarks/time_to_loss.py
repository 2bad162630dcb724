"""How soon does the demo text cost 1.557 bits per byte, and what is reached in the same seconds?

The first recipe, 400 steps at T5's constant rate, sets the seconds. Each recipe trains 400 steps;
the last one also as many as it does in half of these seconds, and in all of them. Peers train for
the same seconds on the same batches, with AdamW. Runs that are in the folder are not repeated.

Seconds are those of the training steps: compiling, evaluations and checkpoints are not counted.
"""

import csv
import itertools
import json
import math
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.harness import Candidate, machine, options, write_json

NAME = "time_to_loss"
TARGET = 1.557
STEPS, BATCH, LENGTH, VOCABULARY = 400, 16, 128, 8000
CONSTANT = "constant rate, float32"
RECIPES = {
    CONSTANT: {"linear_decay_fraction": 0.0},
    "decay, float32": {},
    "decay from 2x the rate, float32": {"learning_rate_scale": 2.0},
    "decay from 2x the rate, bfloat16": {"learning_rate_scale": 2.0, "dtype": "mixed_bfloat16"},
}
PEERS = {
    "KerasHub GPT2, XLA": ("keras_hub_gpt2", {}),
    "HF GPT-2, torch.compile": ("hugging_face", {}),
    "HF GPT-2, torch.compile, bfloat16": ("hugging_face", {"bfloat16": True}),
}
RATES = (1e-3, 2e-3, 4e-3)


def add_arguments(parser):
    """Adds the arguments of this benchmark."""
    parser.add_argument("--seeds", type=int, default=3)


def train(folder, recipe, steps, seed):
    """Trains as `primer train` does; returns the seconds of the steps and the bits per byte."""
    if not (folder / "preset").exists():
        settings = {"steps": steps, "interval": math.ceil(steps / 4), "seed": seed, **recipe}
        settings |= {"preset": "tiny_primer_ez", "data": "demo", "batch_size": BATCH}
        settings |= {"sequence_length": LENGTH, "vocabulary_size": VOCABULARY}
        given = [f"--{name}={value}" for name, value in settings.items()]
        command = [sys.executable, "-m", "primer_tf.cli", "train", *given, "--output", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with open(folder / "history.csv", encoding="utf-8") as file:
        _, *rows = csv.DictReader(file)  # The first steps compile.
    rate = statistics.median(float(row["tokens_per_second"]) for row in rows)
    seconds = steps * BATCH * LENGTH / rate
    return {"steps": steps, "seconds": seconds, "bits_per_byte": float(rows[-1]["bits_per_byte"])}


def write_batches(path, seed, steps):
    """Writes the batches of the recipes, and the validation text, for the peers."""
    from primer_tf.data.load_chunks import load_chunks
    from primer_tf.data.vocabulary_sample import vocabulary_of_text
    from primer_tf.models import PrimerTokenizer
    from primer_tf.tasks.text import TextSource

    tokenizer = PrimerTokenizer(vocabulary_of_text(TextSource("demo"), VOCABULARY))
    chunks, _ = load_chunks("demo", "train", tokenizer, LENGTH, None)
    validation, text = load_chunks("demo", "validation", tokenizer, LENGTH, None)
    batches = list(itertools.islice(chunks.training_batches(BATCH, seed), steps))
    held_out = list(validation.evaluation_batches(BATCH))
    np.savez(
        path,
        inputs=[batch[0]["token_ids"] for batch in batches],
        targets=[batch[1] for batch in batches],
        held_out_inputs=[batch[0]["token_ids"] for batch in held_out],
        held_out_targets=[batch[1] for batch in held_out],
        held_out_weights=[batch[2] for batch in held_out],
        num_bytes=text.num_bytes,
    )


def learn(folder, name, seconds, seed):
    """Trains a peer for so many seconds at each of the rates; returns its best run."""
    module, settings = PEERS[name]
    batches = folder / f"batches_{seed}.npz"
    if not batches.exists():
        write_batches(batches, seed, 3 * STEPS)
    settings = {**settings, "seconds": seconds, "seed": seed, "batches": str(batches)}
    runs = []
    for rate in RATES:
        candidate = Candidate(name, module, "learn", {**settings, "rate": rate})
        candidate.close()
        runs.append({**candidate.first["result"], "rate": rate})
    return min(runs, key=lambda run: run["bits_per_byte"])


def line(name, runs):
    """Returns the row of a table: means, and the lowest and highest bits per byte."""
    bits = [run["bits_per_byte"] for run in runs]
    steps, seconds = (statistics.mean(run[key] for run in runs) for key in ("steps", "seconds"))
    return (
        f"  {name:<52}{steps:6.0f} steps {seconds:6.1f} s  {statistics.mean(bits):.4f} bits per "
        f"byte ({min(bits):.4f} to {max(bits):.4f})"
    )


def draw(path, budgets, runs):
    """Draws bits per byte over seconds, a point for each run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(key.split("|")[0] for key in runs):
        found = sorted(
            (run["seconds"], run["bits_per_byte"])
            for key, run in runs.items()
            if key.split("|")[0] == name
        )
        axes.plot(*zip(*found, strict=True), "o", label=name)
    for budget in budgets:
        axes.axvline(budget, color="gray", linewidth=0.8, linestyle=":")
    axes.axhline(TARGET, color="gray", linewidth=0.8, linestyle="--")
    axes.set(xlabel="seconds of training steps", ylabel="bits per byte, validation")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path.with_suffix(".png"), dpi=120)


def main():
    """Trains what is missing and prints the table."""
    arguments = options(__doc__, add_arguments)
    folder = Path(arguments.output) / NAME
    folder.mkdir(parents=True, exist_ok=True)
    record = folder.with_suffix(".json")
    runs = json.loads(record.read_text())["runs"] if record.exists() else {}
    facts = machine(arguments.smoke)
    base = 4 if arguments.smoke else STEPS
    seeds = range(1 if arguments.smoke else arguments.seeds)
    recipes = dict(itertools.islice(RECIPES.items(), 2)) if arguments.smoke else RECIPES
    budgets = []

    def run(key, function, *given):
        if key not in runs:
            print(f"  {key} ...", end="\r", flush=True)
            runs[key] = function(*given)
            write_json(NAME, {"machine": facts, "runs": runs}, arguments.output)
        return runs[key]

    def of_recipe(name, what, steps):
        """Trains a recipe from each seed, those of a seed one after the other."""
        return [
            run(f"{name}|{what}|{seed}", train, folder / f"{slug(name)}-{what}-{seed}", *given)
            for seed in seeds
            for given in [(recipes[name], steps, seed)]
        ]

    table = []
    for name in recipes:
        found = of_recipe(name, "400 steps", base)
        table.append(line(f"{name}, {base} steps", found))
        if name == CONSTANT:
            whole = statistics.median(each["seconds"] for each in found)
            budgets = [whole / 2, whole]
    rate = base / statistics.median(each["seconds"] for each in found)
    for what, budget in zip(("half", "all"), budgets, strict=True):
        found = of_recipe(name, what, max(2, round(budget * rate)))
        table.append(line(f"{name}, {what} of the seconds", found))
    for name in () if arguments.smoke else PEERS:
        found = [run(f"{name}|all|{s}", learn, folder, name, budgets[1], s) for s in seeds]
        table.append(line(f"{name}, all of the seconds", found))
    print("\n".join(table))
    draw(record, budgets, runs)


def slug(name):
    """Returns a name of a folder."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


if __name__ == "__main__":
    main()
