"""Does a corpus that is larger than memory fit: the peak memory of preparing and training."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.candidates.prepare import write_corpus
from benchmarks.harness import options, write_json


def measured(command, environment=None):
    """Runs a command; returns its seconds and its peak resident memory in GB.

    The memory is that of the largest process, itself or one that it has started.
    """
    start = time.monotonic()
    environment = {**os.environ, **(environment or {}), "TF_CPP_MIN_LOG_LEVEL": "2"}
    with subprocess.Popen(
        [sys.executable, "-m", "primer_tf.cli", *command], env=environment
    ) as run:
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise SystemExit(f"primer {command[0]} failed with exit status {run.returncode}")
    return {"seconds": time.monotonic() - start, "peak_rss_gb": usage.ru_maxrss * 1024 / 1e9}


def add_arguments(parser):
    """Adds this benchmark's own arguments."""
    parser.add_argument("--gigabytes", type=float, default=4.0, help="size of the corpus")
    parser.add_argument("--limit", type=float, default=2.0, help="GB that a process may need")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", help="where the corpus is written; default: a temporary one")


def main():
    """Prepares a corpus, trains 50 steps on it, and fails if that needs too much memory."""
    arguments = options(__doc__, add_arguments)
    gigabytes = 0.002 if arguments.smoke else arguments.gigabytes
    steps = "2" if arguments.smoke else "50"
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        corpus, validation = folder / "corpus.jsonl", folder / "validation.jsonl"
        write_corpus(corpus, gigabytes * 1e3)
        write_corpus(validation, 0.05)
        texts = ["--data", str(corpus), "--validation_data", str(validation)]
        sizes = ["--vocabulary_size", "512" if arguments.smoke else "8000"]
        tokens, run = str(folder / "tokens"), str(folder / "run")
        workers = ["--workers", str(arguments.workers)]
        results = {
            "corpus_gb": corpus.stat().st_size / 1e9,
            "prepare": measured(["prepare", *texts, *sizes, *workers, "--output", tokens]),
            "train": measured(
                ["train", "--preset", "tiny_primer_ez", "--data", tokens, "--steps", steps]
                + ["--interval", steps, "--output", run]
            ),
        }
    finally:
        shutil.rmtree(folder)
    for name in ("prepare", "train"):
        found = results[name]
        print(f"{name}: {found['seconds']:.0f} s, at most {found['peak_rss_gb']:.2f} GB resident")
    write_json("large_corpus", results, arguments.output)
    if max(results[name]["peak_rss_gb"] for name in ("prepare", "train")) > arguments.limit:
        raise SystemExit(f"A process needed more than {arguments.limit} GB.")


if __name__ == "__main__":
    main()
