"""How soon does the demo text cost 1.557 bits per byte, and what is reached in the same seconds?

First the training steps of all candidates are timed in interleaved runs. The first recipe, 400
steps at T5's constant rate, sets the seconds; each other recipe and peer trains as many steps as it
does in them, the last recipe also as many as in half of them. How fast the machine is while they
train does not matter. Peers train on the same batches with AdamW, at the best of some rates for the
first seed. Runs that are in the folder are not repeated.

Seconds are those of the training steps: compiling, evaluations and checkpoints are not counted.
"""

import csv
import itertools
import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.harness import SMOKE, TINY, Candidate, machine, measure, options, write_json

NAME = "time_to_loss"
TARGET = 1.557
STEPS, BATCH, LENGTH, VOCABULARY = 400, 16, 128, 8000
CONSTANT = "constant rate, float32"
FAST = {"dtype": "mixed_bfloat16"}
RECIPES = {
    CONSTANT: {"linear_decay_fraction": 0.0, "learning_rate_scale": 1.0, "dtype": "float32"},
    "decay, float32": {"learning_rate_scale": 1.0, "dtype": "float32"},
    "decay from twice the rate, float32": {"learning_rate_scale": 2.0, "dtype": "float32"},
    "decay from twice the rate, bfloat16": {"learning_rate_scale": 2.0, **FAST},
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


def time_steps(smoke, rounds):
    """Returns the seconds of a training step of each recipe and peer."""
    ours = {"architecture": "primer_ez"}
    candidates = [(CONSTANT, "primer", ours)]
    if not smoke:
        candidates.append(("bfloat16", "primer", {**ours, **FAST}))
        for name, (module, settings) in PEERS.items():
            compiled = {"compiled": True} if module == "hugging_face" else {}
            candidates.append((name, module, {**settings, **compiled}))
    shape = {"model": SMOKE if smoke else TINY, "batch_size": BATCH, "length": LENGTH}
    steps = 1 if smoke else 10
    rows = measure("train_step", candidates, {**shape, "steps": steps}, rounds)
    # A ratio is that of interleaved runs, and the reference's own seconds are those of all.
    whole = rows[0]["seconds"] / steps
    seconds = {row["candidate"]: whole / row["ratio"] for row in rows}
    for name, recipe in RECIPES.items():
        fast = recipe["dtype"] == FAST["dtype"] and not smoke
        seconds[name] = seconds["bfloat16"] if fast else whole
    return seconds


def train(folder, recipe, steps, seed):
    """Trains as `primer train` does; returns the bits per byte at the end."""
    if not (folder / "preset").exists():
        settings = {"steps": steps, "interval": steps, "seed": seed, **recipe}
        settings |= {"preset": "tiny_primer_ez", "data": "demo", "batch_size": BATCH}
        settings |= {"sequence_length": LENGTH, "vocabulary_size": VOCABULARY}
        given = [f"--{name}={value}" for name, value in settings.items()]
        command = [sys.executable, "-m", "primer_tf.cli", "train", *given, "--output", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with open(folder / "history.csv", encoding="utf-8") as file:
        *_, last = csv.DictReader(file)
    return {"steps": steps, "bits_per_byte": float(last["bits_per_byte"])}


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


def learn(folder, name, steps, seed, rates):
    """Trains a peer for so many steps at each of the rates; returns its best run."""
    module, settings = PEERS[name]
    batches = folder / f"batches_{seed}.npz"
    if not batches.exists():
        write_batches(batches, seed, 3 * STEPS)
    settings = {**settings, "steps": steps, "seed": seed, "batches": str(batches)}
    runs = []
    for rate in rates:
        candidate = Candidate(name, module, "learn", {**settings, "rate": rate})
        candidate.close()
        runs.append({**candidate.first["result"], "rate": rate})
    return min(runs, key=lambda run: run["bits_per_byte"])


def line(name, runs):
    """Returns the row of a table: the mean, and the lowest and highest bits per byte."""
    bits = [run["bits_per_byte"] for run in runs]
    return (
        f"  {name:<58}{runs[0]['steps']:5d} steps  {statistics.mean(bits):.4f} bits per byte "
        f"({min(bits):.4f} to {max(bits):.4f})"
    )


def draw(path, seconds, runs):
    """Draws bits per byte over seconds, a point for each run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(key.split("|")[0] for key in runs):
        found = [run for key, run in runs.items() if key.split("|")[0] == name]
        at = [run["steps"] * seconds[name] for run in found]
        axes.plot(at, [run["bits_per_byte"] for run in found], "o", label=name)
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
    path = folder.with_suffix(".json")
    record = json.loads(path.read_text()) if path.exists() else {}
    if not record:
        record = {"machine": machine(arguments.smoke), "runs": {}}
        record["seconds_of_a_step"] = time_steps(arguments.smoke, arguments.rounds)
    seconds, runs = record["seconds_of_a_step"], record["runs"]
    base = 4 if arguments.smoke else STEPS
    seeds = range(1 if arguments.smoke else arguments.seeds)
    table = []

    def add(name, share, function):
        """Adds the row of a recipe or a peer that trains for a share of the seconds."""
        steps = round(share * base * seconds[CONSTANT] / seconds[name])
        found = []
        for seed in seeds:
            key = f"{name}|{share}|{seed}"
            if key not in runs:
                print(f"  {key} ...", end="\r", flush=True)
                runs[key] = function(steps, seed, found)
                write_json(NAME, record, arguments.output)
            found.append(runs[key])
        table.append(line(f"{name}, {share:.0%} of the seconds", found))

    recipes = dict(itertools.islice(RECIPES.items(), 2)) if arguments.smoke else RECIPES
    for name, recipe in recipes.items():

        def run_recipe(steps, seed, _, name=name, recipe=recipe):
            return train(folder / f"{slug(name)}-{steps}-{seed}", recipe, steps, seed)

        add(name, 1.0, run_recipe)
    add(name, 0.5, run_recipe)
    for name in () if arguments.smoke else PEERS:

        def run_peer(steps, seed, found, name=name):
            rates = [found[0]["rate"]] if found else RATES
            return learn(folder, name, steps, seed, rates)

        add(name, 1.0, run_peer)
    print(f"\n{base * seconds[CONSTANT]:.1f} seconds of steps")
    print("\n".join(table))
    draw(path, seconds, runs)


def slug(name):
    """Returns a name of a folder."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


if __name__ == "__main__":
    main()
