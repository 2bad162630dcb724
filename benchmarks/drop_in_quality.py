"""What do KerasHub's models gain from Primer-EZ's two changes on the demo text?

Trains each family with and without them from several seeds. A run that is in the JSON file already
is not repeated, so an interrupted benchmark goes on where it was.
"""

import json
import statistics
from pathlib import Path

from benchmarks.harness import SMOKE, TINY, Candidate, options, write_json

NAME = "drop_in_quality"


def add_arguments(parser):
    """Adds the arguments of this benchmark."""
    parser.add_argument("--families", nargs="+", default=["GPT2", "Llama"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)


def train(family, primer, seed):
    """Trains in a process of its own and returns the validation loss by step."""
    settings = {
        "family": family,
        "primer": primer,
        "seed": seed,
        "model": SMOKE if arguments.smoke else {**TINY, "num_layers": 4, "vocabulary_size": 4096},
        "batch_size": 2 if arguments.smoke else 16,
        "length": 32 if arguments.smoke else 128,
        "steps": arguments.steps,
        "interval": arguments.steps // 6,
        "documents": 1 if arguments.smoke else None,
    }
    candidate = Candidate(f"{family}, seed {seed}", "drop_in", "learn", settings)
    candidate.close()
    return candidate.first["result"]


def draw(path, runs):
    """Draws the validation losses, one panel a family, a line for each seed."""
    from matplotlib.figure import Figure

    families = sorted({key.split("/")[0] for key in runs})
    figure = Figure(figsize=(5 * len(families), 4), layout="constrained")
    panels = figure.subplots(1, len(families), squeeze=False)[0]
    for panel, family in zip(panels, families, strict=True):
        for kind, color in (("plain", "C7"), ("primer_ez", "C1")):
            lines = [losses for key, losses in runs.items() if key.startswith(f"{family}/{kind}/")]
            for i, losses in enumerate(lines):
                steps = [int(step) for step in losses]
                label = kind if i == 0 else None
                panel.plot(steps, list(losses.values()), ".-", color=color, label=label)
        panel.set(title=family, xlabel="step", ylabel="validation loss, nats per token")
        panel.grid(alpha=0.3)
        panel.legend()
    figure.savefig(path, dpi=120)


arguments = options(__doc__, add_arguments)
if arguments.smoke:
    arguments.families, arguments.seeds, arguments.steps = arguments.families[:1], 1, 6
path = Path(arguments.output) / f"{NAME}.json"
runs = json.loads(path.read_text())["runs"] if path.exists() else {}
for seed in range(arguments.seeds):
    for family in arguments.families:
        for kind in ("plain", "primer_ez"):
            key = f"{family}/{kind}/{seed}"
            if key not in runs:
                print(f"  {key} ...", end="\r", flush=True)
                runs[key] = train(family, kind == "primer_ez", seed)
                write_json(NAME, {"steps": arguments.steps, "runs": runs}, arguments.output)
for family in arguments.families:
    last = {
        kind: [
            list(runs[f"{family}/{kind}/{seed}"].values())[-1] for seed in range(arguments.seeds)
        ]
        for kind in ("plain", "primer_ez")
    }
    gains = [a - b for a, b in zip(last["plain"], last["primer_ez"], strict=True)]
    plain, primer = (statistics.mean(last[kind]) for kind in last)
    print(
        f"{family}: validation loss {plain:.3f} plain, {primer:.3f} as Primer-EZ; "
        f"gain {statistics.mean(gains):.3f} ({min(gains):.3f} to {max(gains):.3f}) nats per token"
    )
draw(path.with_suffix(".png"), runs)
