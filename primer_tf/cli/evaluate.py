"""`primer evaluate`: how well a preset predicts a text, or solves tasks."""

import json
from argparse import ArgumentParser, Namespace

from primer_tf.cli import options
from primer_tf.cli.load import HELP as OF_PRESET
from primer_tf.cli.load import load, load_causal_lm
from primer_tf.cli.terminal import status
from primer_tf.errors import UserError
from primer_tf.installation import install_command
from primer_tf.training.config import COUNT, COUNT_OR_ZERO

HELP = "Evaluate a trained preset on a text, or on tasks of lm-evaluation-harness."

# What only one of the two takes.
OF_TEXT = ("split",)
OF_TASKS = ("task_folder", "shots", "limit")


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument("preset", help=f"{OF_PRESET}; with --tasks also one of KerasHub")
    options.add_field(parser, "data")
    parser.add_argument(
        "--tasks",
        type=lambda text: text.split(","),
        help="names of lm-eval's tasks, separated by commas",
    )
    parser.add_argument(
        "--split",
        choices=("train", "validation"),
        help="part of the text; by default all of a file, and the validation split of demo, "
        "seqio:TASK and tfds:NAME; of a file, what primer train trains on or holds out",
    )
    parser.add_argument(
        "--task_folder", help="folder with tasks of your own, as YAML files of lm-eval"
    )
    parser.add_argument(
        "--shots", type=int, help="solved examples before a question; default: what a task says"
    )
    parser.add_argument("--limit", type=int, help="questions of each task; default: all")
    options.add_field(parser, "batch_size")
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(arguments: Namespace) -> None:
    """Prints the evaluation."""
    options.check_field(arguments, "batch_size")
    if (arguments.data is None) == (arguments.tasks is None):
        raise UserError("Give --data or --tasks, and not both.")
    subject, others = ("--tasks", OF_TEXT) if arguments.tasks else ("--data", OF_TASKS)
    for name in others:
        if getattr(arguments, name) is not None:
            raise UserError(f"--{name} says nothing about {subject}; leave it out.")
    if arguments.tasks:
        run_tasks(arguments)
    else:
        run_text(arguments)


def run_text(arguments: Namespace) -> None:
    """Prints how well the preset predicts a text."""
    from primer_tf.data.load_chunks import check_source, load_chunks
    from primer_tf.data.prepared_data import is_prepared
    from primer_tf.evaluation.evaluator import Evaluator
    from primer_tf.tasks.text import has_splits

    source = arguments.data
    check_source(source)
    splits = has_splits(source) or is_prepared(source)
    split = arguments.split or ("validation" if splits else "all")
    model = load(arguments.preset)
    preprocessor = model.preprocessor
    assert preprocessor is not None  # `load` checks it
    length = preprocessor.sequence_length
    chunks, text = load_chunks(source, split, preprocessor.tokenizer, length)
    evaluation = Evaluator(model, chunks, text, arguments.batch_size)()
    part = "the whole text" if split == "all" else f"the {split} split"
    if arguments.json:
        print(json.dumps({"data": source, "split": split, **evaluation.to_dict()}))
    else:
        print(
            f"{source}, {part}: {evaluation.tokens:,} tokens, {text.num_bytes:,} bytes, "
            f"{text.num_words:,} words\n{evaluation}"
        )


def run_tasks(arguments: Namespace) -> None:
    """Prints the preset's figures on tasks."""
    if arguments.shots is not None:
        COUNT_OR_ZERO.check(arguments.shots, "shots")
    if arguments.limit is not None:
        COUNT.check(arguments.limit, "limit")
    try:
        from primer_tf.evaluation.harness_model import HarnessModel
        from primer_tf.evaluation.harness_tasks import HarnessTasks
    except ModuleNotFoundError as error:
        command = install_command("eval")
        raise UserError(f"{error.name} is not installed; run: {command}") from None

    with status("Loading tasks"):
        tasks = HarnessTasks(arguments.tasks, arguments.task_folder)
    model = HarnessModel(load_causal_lm(arguments.preset), arguments.batch_size)
    found = tasks.evaluate(model, arguments.shots, arguments.limit)
    if arguments.json:
        figures = {each.task: each.to_dict() for each in found}
        print(json.dumps({"tasks": figures, **model.get_model_info()}))
    else:
        print(*found, sep="\n")
