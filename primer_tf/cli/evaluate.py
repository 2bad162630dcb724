"""`primer evaluate`: how well a preset predicts a text."""

import json
from argparse import ArgumentParser, Namespace

from primer_tf.cli import options
from primer_tf.cli.load import HELP as OF_PRESET
from primer_tf.cli.load import load

HELP = "Evaluate a trained preset on a text."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument("preset", help=OF_PRESET)
    options.add_field(parser, "data", required=True)
    parser.add_argument(
        "--split",
        choices=("train", "validation"),
        help="part of the text; by default all of a file, and the validation split of demo, "
        "seqio:TASK and tfds:NAME; of a file, what primer train trains on or holds out",
    )
    options.add_field(parser, "batch_size")
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(arguments: Namespace) -> None:
    """Prints the evaluation."""
    options.check_field(arguments, "batch_size")

    from primer_tf.data.load_chunks import load_chunks
    from primer_tf.evaluation.evaluator import Evaluator
    from primer_tf.tasks.text import has_splits, load_split

    source = arguments.data
    split = arguments.split or ("validation" if has_splits(source) else "all")
    documents = load_split(source, split)
    model = load(arguments.preset)
    preprocessor = model.preprocessor
    assert preprocessor is not None  # `load` checks it
    length = preprocessor.sequence_length
    chunks, text = load_chunks(source, split, documents, preprocessor.tokenizer, length)
    evaluation = Evaluator(model, chunks, text, arguments.batch_size)()
    part = "the whole text" if split == "all" else f"the {split} split"
    if arguments.json:
        print(json.dumps({"data": source, "split": split, **evaluation.to_dict()}))
    else:
        print(
            f"{source}, {part}: {evaluation.tokens:,} tokens, {text.num_bytes:,} bytes, "
            f"{text.num_words:,} words\n{evaluation}"
        )
