"""`primer tasks`: GPT-3's tasks, and whether they have data."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from primer_tf.cli.libraries import need
from primer_tf.cli.terminal import status

HELP = "List GPT-3's 29 tasks, and where their data are or what you must provide."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument("--task_data", help="folder with data of yours, as for primer evaluate")
    parser.add_argument(
        "--folder",
        action="store_true",
        help="print the folder of the tasks' YAML files instead, for lm_eval --include_path",
    )


def run(arguments: Namespace) -> None:
    """Prints the tasks."""
    if arguments.folder:
        from primer_tf.evaluation.gpt3 import FOLDER

        print(FOLDER)
        return
    with need("eval"), status("Looking for data"):
        from primer_tf.evaluation.gpt3.data import find, how_to_provide
        from primer_tf.evaluation.harness_tasks import data_of_tasks, gpt3_manager

        folder = None if arguments.task_data is None else Path(arguments.task_data)
        data = data_of_tasks(gpt3_manager())
        found = {name: find(each, folder) for name, each in data.items()}
    for name, where in found.items():
        if where is None:
            print(f"{name:<20}no data. {how_to_provide(data[name])}")
        else:
            print(f"{name:<20}{', '.join(where.splits)} in {where.place}")
