"""`primer export`: writes a SavedModel for TensorFlow Serving."""

from argparse import ArgumentParser, Namespace

from primer_tf.cli import options
from primer_tf.cli.load import HELP as OF_PRESET
from primer_tf.cli.load import load

HELP = "Write a SavedModel for TensorFlow Serving."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument("preset", help=OF_PRESET)
    parser.add_argument("directory", help="folder of the versions")
    options.add_sampling(parser)


def run(arguments: Namespace) -> None:
    """Writes the SavedModel and prints its folder."""
    options.check_sampling(arguments)

    from primer_tf.export import export_saved_model

    model = load(arguments.preset, arguments.sampler)
    print(f"Wrote {export_saved_model(model, arguments.directory, arguments.max_length)}.")
