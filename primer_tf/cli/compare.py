"""`primer compare`: which architecture trains cheaper on a text, and by how much."""

from argparse import ArgumentParser, Namespace

from primer_tf.cli import studies
from primer_tf.errors import UserError

HELP = "Compare architectures on a text: learning curves and speedup factors with intervals."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument(
        "--models",
        default="vanilla,primer_ez",
        help="presets, or architectures such as vanilla, plusplus or primer_ez; the first is the "
        "baseline (default: %(default)s)",
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="only measure the seconds of a step, again; otherwise it is done once, at the start",
    )
    studies.add_study(parser, "steps:1000")


def run(arguments: Namespace) -> None:
    """Runs what is missing of the comparison, and reports."""
    models = studies.model_presets(arguments.models, arguments.size)
    if len(models) < 2:
        raise UserError("primer compare needs two models, as in --models vanilla,primer_ez.")
    studies.run_study(
        arguments,
        "compare",
        f"{', '.join(models)} compared",
        models,
        next(iter(models)),
        measure_again=arguments.measure,
    )
