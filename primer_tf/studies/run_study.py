"""Runs what is missing of a study: one training run after the other, several at a time or at once.

At a time means in processes of their own, at once as one program (`vectorized_training`).
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

from primer_tf.data.vocabulary_sample import vocabulary_of_text
from primer_tf.errors import UserError
from primer_tf.files import atomic_write, sole_writer
from primer_tf.studies.processes import Job, Processes, job_name
from primer_tf.studies.run_record import FINISHED, read_records, record_path
from primer_tf.studies.step_times import StepTimes, read_step_times
from primer_tf.studies.study import Run, Study
from primer_tf.studies.study_file import read_study
from primer_tf.studies.text_source import resolve_source
from primer_tf.studies.worker import VOCABULARY
from primer_tf.tasks.text import TextSource
from primer_tf.types import StrPath

# Does a job of a study, and leaves the records.
Execute = Callable[[Path, Job], None]


def run_studies(
    folders: Sequence[StrPath],
    report: Callable[[str], object] = print,
    execute: Execute | None = None,
    finished: Callable[[Path], object] = lambda folder: None,
    workers: int = 1,
    vectorize: int = 1,
) -> None:
    """Runs what is missing of some studies.

    Finished runs have a record and are never repeated. The runs of all studies with their first
    seed come before those with their second.

    Args:
        folders: The folders of the studies, each with its `study.json`.
        report: A function that prints a line of progress. Defaults to `print`.
        execute: What does a job. Defaults to a process of its own for each.
        finished: Called with the folder of a study after the last run of a seed.
        workers: Number of processes at a time. Defaults to 1.
        vectorize: Largest number of runs of one model that train at once as one program of JAX.
            Defaults to 1.

    Raises:
        UserError: A run failed, or a study or a record is damaged. Records are kept.
        TrainingInterrupted: SIGINT or SIGTERM. The next call goes on.
    """
    paths = [Path(folder) for folder in folders]
    with ExitStack() as stack:
        execute = execute or stack.enter_context(Processes()).execute
        for path in paths:
            stack.enter_context(sole_writer(path))
        studies = {path: read_study(path) for path in paths}
        for path, study in studies.items():
            _prepare(path, study, report, execute)
        tuning = {path: study.tuning_runs(_seconds(path)) for path, study in studies.items()}
        tuning = {p: runs for p, runs in tuning.items() if len(studies[p].learning_rate_scales) > 1}
        how = (studies, report, execute, workers, vectorize)
        _run_missing(list(_ordered(tuning)), *how)
        runs = {path: planned_runs(path, study) for path, study in studies.items()}
        _run_missing(list(_ordered(runs)), *how, finished)


def measure_again(folder: StrPath) -> None:
    """Measures the step times of a study again; see `run_studies` for what is raised."""
    with Processes() as processes:
        processes.execute(Path(folder), "measure")


def planned_runs(path: Path, study: Study) -> list[Run]:
    """Returns the runs of a study, given its measured times and its tuning so far."""
    return study.runs(_seconds(path), chosen_scales(path, study))


def chosen_scales(path: Path, study: Study) -> dict[tuple[str, str], float]:
    """Returns the factor on the learning rate with the lowest loss, by model and size."""
    if len(study.learning_rate_scales) < 2:
        return {}
    best: dict[tuple[str, str], tuple[float, float]] = {}
    for run, record in read_records(path, study.tuning_runs(_seconds(path))).items():
        if record["status"] == FINISHED:
            loss = record["curve"]["validation_loss"][-1]
            key = (run.model, run.size)
            best[key] = min(best.get(key, (math.inf, 0.0)), (loss, run.learning_rate_scale))
    return {key: scale for key, (_, scale) in best.items()}


def _seconds(path: Path) -> dict[str, float]:
    times = read_step_times(path)
    return {} if times is None else {name: times.seconds(name) for name in times.rounds}


def measured(path: Path, study: Study) -> StepTimes | None:
    """Returns the step times of a study if they are of all its models."""
    times = read_step_times(path)
    return times if times is not None and set(study.models) <= set(times.rounds) else None


def _prepare(path: Path, study: Study, report: Callable[[str], object], execute: Execute) -> None:
    """Makes the vocabulary of a study and measures its step times, unless that has been done."""
    if not (path / VOCABULARY).exists():
        config = study.base_config
        data = resolve_source(config.data)
        held_out = config.validation_data and resolve_source(config.validation_data)
        report(f"Training a vocabulary of {config.vocabulary_size} pieces")
        vocabulary = vocabulary_of_text(TextSource(data, held_out), config.vocabulary_size)
        atomic_write(path / VOCABULARY, vocabulary)
    if study.kind != "scale" and measured(path, study) is None:
        execute(path, "measure")


def _run_missing(
    runs: Sequence[tuple[Path, Run]],
    studies: Mapping[Path, Study],
    report: Callable[[str], object],
    execute: Execute,
    workers: int,
    vectorize: int,
    finished: Callable[[Path], object] = lambda folder: None,
) -> None:
    records = {
        path: read_records(path, [run for folder, run in runs if folder == path])
        for path in studies
    }
    missing = [(path, run) for path, run in runs if run not in records[path]]
    if done := len(runs) - len(missing):
        report(f"{done} of {len(runs)} runs are already done.")

    def flops(path: Path, run: Run) -> float:
        return run.steps * studies[path].flops_per_step(run.model, run.size)

    left = {item: flops(*item) for item in missing}
    total, start = sum(left.values()), time.monotonic()
    waiting = _jobs(missing, vectorize)
    running: dict[Future, tuple[Path, tuple[Run, ...]]] = {}
    with ThreadPoolExecutor(workers) as pool:
        while left:
            while waiting and len(running) < workers:
                path, job = waiting.pop(0)
                number = len(runs) - sum(len(each) for _, each in waiting)
                which = f"Run {number}" if len(job) == 1 else f"Runs up to {number}"
                line = f"{which} of {len(runs)}: {path.name}/{job_name(job)}"
                undone = sum(left.values())
                if undone < total:
                    seconds = undone * (time.monotonic() - start) / (total - undone)
                    line += f"  (about {_hours(seconds)} left)"
                report(line)
                running[pool.submit(execute, path, job)] = path, job
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                path, job = running.pop(ended)
                ended.result()
                for run in job:
                    if not record_path(path, run).exists():
                        raise UserError(f"The run {run.name} has left no record in {path}.")
                    del left[path, run]
                seeds = {run.seed for folder, run in left if folder == path}
                if not seeds.issuperset(run.seed for run in job):
                    finished(path)


def _jobs(runs: Sequence[tuple[Path, Run]], vectorize: int) -> list[tuple[Path, tuple[Run, ...]]]:
    """Returns jobs of up to `vectorize` runs of one model, in the order of their first runs."""
    jobs: list[tuple[Path, list[Run]]] = []
    open_jobs: dict[tuple[Path, str, str], list[Run]] = {}
    for path, run in runs:
        job = open_jobs.get((path, run.model, run.size), [])
        if not job or len(job) == vectorize:
            job = open_jobs[path, run.model, run.size] = []
            jobs.append((path, job))
        job.append(run)
    return [(path, tuple(job)) for path, job in jobs]


def _ordered(studies: Mapping[Path, list[Run]]) -> Iterator[tuple[Path, Run]]:
    """Yields the runs of several studies: all those of first seeds come first."""
    positions = {
        folder: {seed: i for i, seed in enumerate(dict.fromkeys(r.seed for r in runs))}
        for folder, runs in studies.items()
    }
    every = [(folder, run) for folder, runs in studies.items() for run in runs]
    yield from sorted(every, key=lambda item: positions[item[0]][item[1].seed])


def _hours(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
