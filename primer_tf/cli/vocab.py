"""`primer vocab`: trains a vocabulary."""

from argparse import ArgumentParser, Namespace

from primer_tf.cli import options

HELP = "Train a SentencePiece vocabulary with T5's special pieces."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    options.add_field(parser, "data", required=True)
    options.add_field(parser, "vocabulary_size", option="size", help="number of pieces")
    parser.add_argument("--output", required=True, help="file to write")


def run(arguments: Namespace) -> None:
    """Trains a vocabulary and writes it."""
    options.check_field(arguments, "vocabulary_size", option="size")

    from primer_tf.data.vocabulary_sample import vocabulary_of_text
    from primer_tf.files import atomic_write
    from primer_tf.tasks.text import TextSource

    vocabulary = vocabulary_of_text(TextSource(arguments.data), arguments.size)
    atomic_write(arguments.output, vocabulary)
    print(f"Wrote {arguments.output}.")
