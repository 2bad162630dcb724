"""What the subcommands that run studies share."""

import argparse
import dataclasses
import math
import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from primer_tf.cli import options
from primer_tf.cli.libraries import need
from primer_tf.cli.terminal import status
from primer_tf.errors import UserError
from primer_tf.training.config import COUNT, RunConfig
from primer_tf.types import Config

# Fields of `RunConfig` that a study decides, or that are options of their own here.
DECIDED = ("preset", "steps", "seed", "learning_rate_scale", "vocabulary")
SCALES = (0.5, 1.0, 2.0, 4.0)


def add_study(parser: ArgumentParser, budget: str, lengths: str = "1") -> None:
    """Adds the options that all studies have.

    Args:
        parser: The parser to add them to.
        budget: The default budget.
        lengths: The default lengths. Defaults to the whole budget alone.
    """
    parser.add_argument("--output", required=True, help="folder of the study")
    parser.add_argument(
        "--budget",
        default=budget,
        help="how long each model trains: steps:N, flops:X or seconds:S (default: %(default)s)",
    )
    parser.add_argument(
        "--lengths",
        default=lengths,
        help="shares of the budget after which the loss counts; with a schedule that depends on "
        "the length of a run each is a run of its own (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="number of seeds (default: %(default)s)"
    )
    parser.add_argument(
        "--tune",
        action="store_true",
        help=f"choose each model's learning_rate_scale from {', '.join(map(str, SCALES))}",
    )
    add_parallel(parser)
    parser.add_argument("--size", default="tiny", help="size of presets (default: %(default)s)")
    options.add_field(parser, "vocabulary", default=argparse.SUPPRESS)
    for field in dataclasses.fields(RunConfig):
        if "help" in field.metadata and field.name not in DECIDED:
            options.add_field(parser, field.name, default=argparse.SUPPRESS)


def add_parallel(parser: ArgumentParser) -> None:
    """Adds the options for several runs at a time."""
    parser.add_argument(
        "--workers", type=int, default=1, help="processes at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--vectorize",
        type=int,
        default=1,
        help="runs of one model that a process trains at once, as one program for a GPU, on the "
        "JAX backend (default: %(default)s)",
    )


def run_study(
    arguments: Namespace,
    kind: str,
    title: str,
    models: Mapping[str, Config],
    baseline: str,
    measure_again: bool = False,
    **others: Any,
) -> None:
    """Defines a study, runs what is missing of it, and writes its report.

    Args:
        arguments: The parsed options of `add_study`.
        kind: See `Study`.
        title: See `Study`.
        models: See `Study`.
        baseline: See `Study`.
        measure_again: Whether to only measure the times of a step, again. Defaults to `False`.
        **others: More arguments of `Study`.
    """
    names = {field.name for field in dataclasses.fields(RunConfig)} - set(DECIDED)
    training = {name: value for name, value in vars(arguments).items() if name in names}
    # T5's rate does not depend on the length of a run, so a run gives a whole curve.
    training.setdefault("linear_decay_fraction", 0.0)
    if "data" not in training:
        raise UserError(f"primer {arguments.command} needs --data.")
    if arguments.seeds < 1:
        raise UserError(f"seeds must be at least 1; received {arguments.seeds}.")
    needs_scipy()
    from primer_tf.files import atomic_write
    from primer_tf.studies.report import COMMAND
    from primer_tf.studies.study import Study
    from primer_tf.studies.study_file import write_study
    from primer_tf.studies.worker import VOCABULARY

    folder = Path(arguments.output)
    proto = None
    if vocabulary := getattr(arguments, "vocabulary", None):
        from primer_tf.data.vocabulary import num_pieces, read_vocabulary

        proto = read_vocabulary(vocabulary)
        training["vocabulary_size"] = num_pieces(proto)
    study = Study(
        title=title,
        kind=kind,
        models=models,
        baseline=baseline,
        training=training,
        budget=parse_budget(arguments.budget),
        seeds=tuple(range(arguments.seeds)),
        learning_rate_scales=SCALES if arguments.tune else (),
        lengths=parse_lengths(arguments.lengths),
        **others,
    )
    if study.budget["unit"] != "seconds":
        for model in study.models:
            for size in study.sizes or [""]:
                study.steps(model, size)
    write_study(study, folder)
    if proto is not None:
        kept = folder / VOCABULARY
        if kept.exists() and kept.read_bytes() != proto:
            raise UserError(f"{folder} has another vocabulary than {vocabulary}.")
        atomic_write(kept, proto)
    if not (folder / COMMAND).exists():
        atomic_write(folder / COMMAND, f"primer {shlex.join(sys.argv[1:])}\n")
    if measure_again:
        from primer_tf.studies.run_record import FOLDER
        from primer_tf.studies.run_study import measure_again as measure

        if study.budget["unit"] == "seconds" and (folder / FOLDER).exists():
            raise UserError(
                f"The lengths of the runs in {folder} come from the measured seconds; measure "
                "again in another folder."
            )
        measure(folder)
        report([folder])
    else:
        run_folders([folder], arguments.workers, arguments.vectorize)


def run_folders(folders: Sequence[Path], workers: int, vectorize: int) -> None:
    """Runs what is missing of some studies, and reports on each when a seed of it is done.

    Args:
        folders: The folders of the studies.
        workers: Number of processes at a time.
        vectorize: Number of runs of one model that a process trains at once.
    """
    COUNT.check(workers, "workers")
    COUNT.check(vectorize, "vectorize")
    with status("Loading TensorFlow"):
        from primer_tf.studies.run_study import run_studies
    run_studies(
        folders,
        finished=lambda folder: report([folder], quiet=True),
        workers=workers,
        vectorize=vectorize,
    )
    report(folders)


def report(folders: Sequence[Path], quiet: bool = False) -> None:
    """Writes the reports of studies, and prints what they say.

    Args:
        folders: The folders of the studies.
        quiet: Whether to print nothing but where the report is. Defaults to `False`.
    """
    from primer_tf.gin_config.presets import format_table
    from primer_tf.studies.report import PAGE, all_tables, summary, write_report

    for folder in folders:
        results = write_report(folder)
        if not quiet:
            for table in all_tables(results).values():
                print(f"\n{format_table(table)}")
            for line in [*results.notes, *summary(results)]:
                print(line)
        print(f"Report: {folder / PAGE}")


def parse_budget(text: str) -> dict[str, Any]:
    """Returns the budget that an option gives, as `Study` takes it."""
    unit, _, number = text.partition(":")
    try:
        amount = float(number)
    except ValueError:
        amount = math.nan
    if unit not in ("steps", "flops", "seconds") or not 0 < amount < math.inf:
        raise UserError(
            f"budget must be steps:N, flops:X or seconds:S, as in steps:1000; received {text!r}."
        )
    if unit == "steps" and amount != int(amount):
        raise UserError(f"budget must have whole steps; received {text!r}.")
    return {"unit": unit, "amount": int(amount) if unit == "steps" else amount}


def parse_lengths(text: str) -> tuple[float, ...]:
    """Returns the lengths that an option gives, as `Study` takes them."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise UserError(f"lengths must be given as 0.25,0.5,1; received {text!r}.") from error


def model_presets(names: str, size: str) -> dict[str, Config]:
    """Returns models by the names that the user gave.

    Args:
        names: Names of presets, or of architectures with or without `transformer_`, separated by
            commas.
        size: The size of architectures that are named without one.

    Raises:
        UserError: A name is unknown, or appears twice.
    """
    from primer_tf.gin_config.presets import preset_names

    models: dict[str, Config] = {}
    for name in filter(None, names.split(",")):
        candidates = (name, f"{size}_{name}", f"{size}_transformer_{name}")
        known = [each for each in candidates if each in preset_names()]
        if not known:
            raise UserError(f"Unknown model {name!r}; `primer models` lists the presets.")
        if name in models:
            raise UserError(f"The model {name} is given twice.")
        models[name] = {"preset": known[0]}
    return models


def needs_scipy() -> None:
    """Raises `UserError` if SciPy, which the statistics need, is not installed."""
    with need("studies"):
        import scipy  # noqa: F401
