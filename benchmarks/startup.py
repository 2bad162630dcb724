"""How long do the command and the imports take to start?"""

import statistics
import subprocess
import sys
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

arguments = options(__doc__)
commands = OURS if arguments.smoke else {**OURS, **LIBRARIES}
times = {name: [] for name in commands}
for _ in range(arguments.rounds):
    for name, command in commands.items():
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], capture_output=True, check=True)
        times[name].append(time.perf_counter() - start)
for name, seconds in times.items():
    print(
        f"  {name:<38} {statistics.median(seconds):6.2f} s  ({min(seconds):.2f}-{max(seconds):.2f})"
    )
write_json("startup", times, arguments.output)
