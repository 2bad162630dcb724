"""`primer ablate`: what each of Primer's modifications does on a text."""

from argparse import ArgumentParser, Namespace

from primer_tf.cli import studies

HELP = "Insert each of Primer's modifications in a Transformer, and take each out of Primer."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument(
        "--modifications",
        help="names separated by commas, such as squared_relu,mdha; by default all",
    )
    studies.add_study(parser, "steps:500")


def run(arguments: Namespace) -> None:
    """Runs what is missing of the ablation, and reports."""
    studies.needs_scipy()
    from primer_tf.studies.modifications import PLAIN, ablation_models

    names = arguments.modifications and arguments.modifications.split(",")
    models = ablation_models(arguments.size, names)
    studies.run_study(arguments, "ablate", "Primer's modifications one by one", models, PLAIN)
