"""One training run of a study, or several at once, in a process of its own.

TensorFlow keeps in memory what it has compiled, so a process for each run is what lets a study go
on for days. `python -m primer_tf.studies.worker STUDY RUNS LIFELINE` trains and writes the records.
The process ends with its parent: when `LIFELINE`, a pipe that only the parent can write, closes, it
saves a checkpoint and stops.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from primer_tf.errors import UserError, first_line
from primer_tf.studies.run_record import DIVERGED, FINISHED, record_path, write_record
from primer_tf.studies.study import Run, Study
from primer_tf.studies.study_file import read_study

WORK = "work"
VOCABULARY = "vocabulary.model"
CURVE = ("step", "loss", "validation_loss", "bits_per_byte")


def train_run(study: Study, run: Run, output: Path) -> None:
    """Trains one run, or what is missing of it, and writes its record.

    Args:
        study: The study.
        run: The run.
        output: The folder of the study.

    Raises:
        UserError: The run failed; a run that diverges does not fail, but has a record that says so.
        TrainingInterrupted: There was a signal; the run goes on from a checkpoint when it is called
            again.
    """
    from primer_tf.training.callbacks.csv_history import read_history
    from primer_tf.training.callbacks.stop_at_divergence import Divergence
    from primer_tf.training.run import train

    folder = output / WORK / run.name
    config = study.config(run, output / VOCABULARY)
    resume = (folder / "run.json").exists()
    message = None
    try:
        train(config, folder, resume=resume)
    except Divergence as error:
        message = str(error).replace(str(folder), run.name)
    history = folder / "history.csv"
    # A run may diverge before its first evaluation.
    rows = read_history(history) if history.exists() else []
    started = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    _write(study, run, output, rows, started["tokens_sha256"], message)
    shutil.rmtree(folder)


def train_runs(study: Study, runs: Sequence[Run], output: Path) -> None:
    """Trains runs of one model at once, and writes their records; see `train_run`."""
    from primer_tf.studies.vectorized_training import train_vectorized

    trained, chunks = train_vectorized([study.config(run, output / VOCABULARY) for run in runs])
    for run, each in zip(runs, trained, strict=True):
        message = each.diverged and f"{run.name}: Training has diverged: {each.diverged}."
        _write(study, run, output, each.rows, chunks.sha256, message)


def _write(
    study: Study,
    run: Run,
    output: Path,
    rows: Sequence[Mapping[str, float]],
    tokens_sha256: str,
    message: str | None,
) -> None:
    """Writes the record of a run.

    Args:
        study: The study.
        run: The run.
        output: The folder of the study.
        rows: A dict for each evaluation, with the names in `CURVE` and `tokens_per_second`.
        tokens_sha256: Digest of the training tokens.
        message: What the report says of a run that has diverged, otherwise `None`.
    """
    from primer_tf.studies.environment import environment

    cost, vocabulary = study.cost(run.model, run.size), output / VOCABULARY
    write_record(
        record_path(output, run),
        {
            "run": dataclasses.asdict(run),
            "status": DIVERGED if message else FINISHED,
            "message": message,
            # The paths of this machine say nothing elsewhere.
            "config": {
                **dataclasses.asdict(study.config(run, vocabulary)),
                "vocabulary": VOCABULARY,
                **{k: v for k, v in study.training.items() if k.endswith("data")},
            },
            "vocabulary_sha256": hashlib.sha256(vocabulary.read_bytes()).hexdigest(),
            "tokens_sha256": tokens_sha256,
            "parameters": cost.parameters,
            "train_flops_per_token": cost.train_flops,
            "tokens_per_step": study.tokens_per_step,
            "tokens_per_second": [row["tokens_per_second"] for row in rows],
            "curve": {name: [row[name] for row in rows] for name in CURVE},
            "environment": environment(),
        },
    )


def end_with_parent(lifeline: int) -> None:
    """Stops this process, after a step, when the other end of a pipe closes.

    Args:
        lifeline: Descriptor of the end to read.
    """

    def watch() -> None:
        os.read(lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def main(argv: list[str]) -> int:
    """Trains the runs that the arguments name; an error is one line on the standard error."""
    output, name, lifeline = Path(argv[0]), json.loads(argv[1]), int(argv[2])
    end_with_parent(lifeline)
    try:
        if name == "measure":
            from primer_tf.studies.step_times import measure

            measure(read_study(output), output)
        else:
            study, runs = read_study(output), [Run(**each) for each in name]
            if len(runs) == 1:
                train_run(study, runs[0], output)
            else:
                train_runs(study, runs, output)
    except KeyboardInterrupt as error:
        return 128 + getattr(error, "number", signal.SIGINT)
    except (UserError, OSError) as error:
        print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return 1
    except Exception as error:
        if os.environ.get("PRIMER_TF_TRACEBACK"):
            raise
        print(f"error: {type(error).__name__}: {first_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
