"""`primer study`: goes on with studies that are defined by files."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from primer_tf.cli import studies

HELP = "Run what is missing of studies, each a folder with a study.json, and report."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument("folders", nargs="+", type=Path, help="folders of studies")
    studies.add_parallel(parser)
    parser.add_argument(
        "--report", action="store_true", help="only write the reports of what is there"
    )


def run(arguments: Namespace) -> None:
    """Runs what is missing, and reports."""
    studies.needs_scipy()
    if arguments.report:
        studies.report(arguments.folders)
    else:
        studies.run_folders(arguments.folders, arguments.workers, arguments.vectorize)
