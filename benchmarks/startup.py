"""How long do the command and the imports take to start, and a run and a text to begin?"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.harness import options, write_json

OURS = {
    "primer --help": ["-m", "primer_tf.cli", "--help"],
    "import primer_tf": ["-c", "import primer_tf"],
}
LIBRARIES = {
    "import keras": ["-c", "import keras"],
    "from primer_tf import PrimerCausalLM": ["-c", "from primer_tf import PrimerCausalLM"],
    "import keras_hub": ["-c", "import keras_hub"],
}

# One step with its evaluation and presets, and one new token, each in a new process.
folder = tempfile.mkdtemp()
RUNS = {
    "primer train, 1 step": [
        *("-m", "primer_tf.cli", "train", "--preset", "tiny_primer_ez", "--data", "demo"),
        *("--steps", "1", "--interval", "1", "--output", f"{folder}/run"),
    ],
    "primer generate, 1 token": [
        *("-m", "primer_tf.cli", "generate", f"{folder}/run", "--prompt", "And"),
        *("--max_new_tokens", "1"),
    ],
}


def seconds_of(command, cache=""):
    """Returns the seconds of a command; `cache` is the folder of what XLA compiled before."""
    if "train" in command:
        shutil.rmtree(f"{folder}/run", ignore_errors=True)
    environment = {**os.environ, "PRIMER_TF_CACHE": cache}
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], env=environment, capture_output=True, check=True)
    return time.perf_counter() - start


arguments = options(__doc__)
commands = [(name, command, "") for name, command in {**OURS, **LIBRARIES}.items()]
if arguments.smoke:
    commands = commands[: len(OURS)]
else:
    for name, command in RUNS.items():
        seconds_of(command, f"{folder}/cache")
        commands.append((name, command, ""))
        commands.append((f"{name}, not for the first time", command, f"{folder}/cache"))
times = {name: [] for name, *_ in commands}
for _ in range(arguments.rounds):
    for name, command, cache in commands:
        times[name].append(seconds_of(command, cache))
shutil.rmtree(folder)
for name, seconds in times.items():
    print(
        f"  {name:<50} {statistics.median(seconds):6.2f} s  ({min(seconds):.2f}-{max(seconds):.2f})"
    )
write_json("startup", times, arguments.output)
