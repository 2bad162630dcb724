"""How fast does T5's own command train, compared with `primer train` with the same flags?

Both commands run as users run them, one after the other. The speeds are read from their output.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import options, write_json

BIN = Path(sys.executable).parent
MODEL = "tiny_transformer_vanilla"


def speeds(command, count):
    """Runs a command until it has printed `count` speeds; returns them in tokens a second."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    found, printed = [], []
    for line in process.stdout:
        printed.append(line)
        match = re.search(r"([\d,]+) tokens/s", line)
        if match:
            found.append(float(match[1].replace(",", "")))
        if len(found) == count:
            process.kill()
            break
    process.wait()
    if len(found) < count:
        raise RuntimeError("".join(printed[-5:]))
    return found


def main():
    """Runs both commands, prints a table and writes `engines.json`."""
    arguments = options(__doc__)
    tokens = 512 if arguments.smoke else 4096
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "kjv.model"
        subprocess.run(
            [BIN / "primer", "vocab", "--data", "demo", "--output", vocabulary], check=True
        )
        flags = [f"--gin_file={f}.gin" for f in (f"models/{MODEL}", "run/train", "hardware/cpu")]
        bindings = [f"VOCABULARY='{vocabulary}'", f"TOKENS_PER_BATCH={tokens}"]
        flags += [f"--gin_param={binding}" for binding in bindings]
        commands = {
            "Mesh TensorFlow (primer-t5)": [BIN / "primer-t5", f"--model_dir={folder}/mesh"],
            "Keras (primer train)": [BIN / "primer", "train", f"--output={folder}/keras"],
        }
        rows = {}
        for name, command in commands.items():
            found = speeds([*command, *flags], arguments.rounds)
            rows[name] = {
                "tokens_per_second": statistics.median(found),
                "slowest": min(found),
                "fastest": max(found),
            }
            print(f"{name:<30}", *(f"{value:10,.0f}" for value in rows[name].values()), flush=True)
    record = {"model": MODEL, "tokens_per_batch": tokens, "rows": rows}
    write_json("engines", record, arguments.output)


if __name__ == "__main__":
    main()
