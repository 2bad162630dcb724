"""`primer evaluate`: how well presets predict a text, or solve tasks."""

import json
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from primer_tf.cli import options
from primer_tf.cli.compilation_cache import use_compilation_cache
from primer_tf.cli.libraries import need
from primer_tf.cli.load import HELP as OF_PRESET
from primer_tf.cli.load import is_checkpoint, load, load_causal_lm, load_checkpoint
from primer_tf.cli.terminal import status
from primer_tf.errors import UserError
from primer_tf.training.config import COUNT, COUNT_OR_ZERO

if TYPE_CHECKING:
    from keras_hub.models import CausalLM

    from primer_tf.models import PrimerCausalLM

HELP = "Evaluate trained presets on a text, or on tasks of lm-evaluation-harness."

# What only one of the two takes.
OF_TEXT = ("split",)
OF_TASKS = ("task_folder", "task_data", "shots", "limit", "output")
# What describes a checkpoint of the T5 codebase.
OF_CHECKPOINT = ("gin_file", "gin_param", "gin_location_prefix", "vocabulary")


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument(
        "preset",
        nargs="+",
        help=f"{OF_PRESET}, or the model_dir of a T5 checkpoint; with --tasks also a preset of "
        "KerasHub, and several, which are compared with the first",
    )
    options.add_field(parser, "data")
    parser.add_argument(
        "--tasks",
        type=lambda text: text.split(","),
        help="names of lm-eval's tasks, separated by commas; gpt3 for those of GPT-3 that have "
        "data, see primer tasks",
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
    parser.add_argument("--task_data", help="folder with data of yours for GPT-3's tasks")
    parser.add_argument(
        "--shots", type=int, help="solved examples before a question; default: what a task says"
    )
    parser.add_argument("--limit", type=int, help="questions of each task; default: all")
    parser.add_argument(
        "--output", help="new folder to write the figures, each answer and a plot to"
    )
    options.add_field(parser, "batch_size")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    options.add_gin(parser, "describes a T5 checkpoint; default: its operative_config.gin")
    parser.add_argument(
        "--vocabulary", help="of a T5 checkpoint; default: the one that the gin files name"
    )


def run(arguments: Namespace) -> None:
    """Prints the evaluation."""
    options.check_field(arguments, "batch_size")
    if (arguments.data is None) == (arguments.tasks is None):
        raise UserError("Give --data or --tasks, and not both.")
    subject, others = ("--tasks", OF_TEXT) if arguments.tasks else ("--data", OF_TASKS)
    for name in others:
        if getattr(arguments, name) is not None:
            raise UserError(f"--{name} says nothing about {subject}; leave it out.")
    if not any(map(is_checkpoint, arguments.preset)):
        for name in OF_CHECKPOINT:
            if getattr(arguments, name):
                raise UserError(f"--{name} describes a T5 checkpoint, and there is none.")
    use_compilation_cache()
    if arguments.tasks:
        run_tasks(arguments)
    elif len(arguments.preset) > 1:
        raise UserError("Give one preset with --data.")
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
    (preset,) = arguments.preset
    model = _load_checkpoint(preset, arguments) if is_checkpoint(preset) else load(preset)
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
    """Prints the presets' figures on tasks."""
    if arguments.shots is not None:
        COUNT_OR_ZERO.check(arguments.shots, "shots")
    if arguments.limit is not None:
        COUNT.check(arguments.limit, "limit")
    if len(set(arguments.preset)) < len(arguments.preset):
        raise UserError("A preset is given twice.")
    with need("eval"):
        from primer_tf.evaluation.comparison import Comparison, check_output, write_results
        from primer_tf.evaluation.harness_model import HarnessModel
        from primer_tf.evaluation.harness_tasks import HarnessTasks

    if arguments.output is not None:
        check_output(arguments.output)
    with status("Loading tasks"):
        tasks = HarnessTasks(arguments.tasks, arguments.task_folder, arguments.task_data)
    figures, results = {}, {}
    for preset in arguments.preset:
        model: CausalLM = (
            _load_checkpoint(preset, arguments) if is_checkpoint(preset) else load_causal_lm(preset)
        )
        harness = HarnessModel(model, arguments.batch_size)
        figures[preset] = tasks.evaluate(harness, arguments.shots, arguments.limit)
        of_tasks = {each.task: each.to_dict() for each in figures[preset]}
        results[preset] = {"tasks": of_tasks, **harness.get_model_info()}
    comparison = Comparison(figures)
    several = len(figures) > 1
    printed = (
        {"models": results, "less_the_first": comparison.to_dict()}
        if several
        else results[arguments.preset[0]]
    )
    if arguments.output is not None:
        write_results(arguments.output, figures, printed)
    if arguments.json:
        print(json.dumps(printed))
    elif several:
        print(comparison)
    else:
        print(*figures[arguments.preset[0]], sep="\n")


def _load_checkpoint(model_dir: str, arguments: Namespace) -> "PrimerCausalLM":
    return load_checkpoint(
        model_dir,
        arguments.gin_file,
        arguments.gin_param,
        arguments.vocabulary,
        arguments.gin_location_prefix,
    )
