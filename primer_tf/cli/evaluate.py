"""`primer evaluate`: how well a preset predicts a text."""

from argparse import ArgumentParser, Namespace

from primer_tf.cli import options
from primer_tf.cli.load import load

HELP = "Evaluate a trained preset on a text."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument("preset", help="preset directory")
    options.add_field(parser, "data", required=True)
    parser.add_argument("--split", default="validation", choices=("train", "validation", "all"))
    options.add_field(parser, "batch_size")


def run(arguments: Namespace) -> None:
    """Prints the evaluation of each split."""
    options.check_field(arguments, "batch_size")

    from primer_tf.data.load_chunks import load_chunks
    from primer_tf.evaluation.evaluator import Evaluator
    from primer_tf.tasks.text import load_split

    model = load(arguments.preset)
    splits = ("train", "validation") if arguments.split == "all" else (arguments.split,)
    preprocessor = model.preprocessor
    assert preprocessor is not None  # `load` checks it
    tokenizer, length = preprocessor.tokenizer, preprocessor.sequence_length
    for split in splits:
        documents = load_split(arguments.data, split)
        chunks, num_bytes = load_chunks(arguments.data, split, documents, tokenizer, length)
        evaluation = Evaluator(model, chunks, num_bytes, arguments.batch_size)()
        print(f"{split}: {evaluation}" if len(splits) > 1 else evaluation)
