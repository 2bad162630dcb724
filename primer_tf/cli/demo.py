"""`primer demo`: the demo text from vocabulary to a served prompt."""

from argparse import ArgumentParser, Namespace

from primer_tf.cli import options
from primer_tf.cli.terminal import status

HELP = "Train on the demo text, draw, write, export, and serve."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument("--output", default="runs/demo", help="folder (default: %(default)s)")
    options.add_field(parser, "steps", default=400)


def run(arguments: Namespace) -> None:
    """Runs the demo."""
    options.check_field(arguments, "steps")
    with status("Loading TensorFlow"):
        from primer_tf.demo import run_demo

    run_demo(arguments.output, arguments.steps)
