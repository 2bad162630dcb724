"""`primer search`: searches for an architecture, shows it, and trains the best again."""

import argparse
import dataclasses
import importlib.util
import json
import os
from argparse import ArgumentParser, Namespace
from typing import Any

from primer_tf.cli.options import JoinedWords
from primer_tf.cli.terminal import status
from primer_tf.errors import UserError
from primer_tf.installation import install_command
from primer_tf.search.config import ALGORITHMS, SearchConfig, read_config
from primer_tf.training.config import COUNT, COUNT_OR_ZERO, POSITIVE

HELP = "Search for a decoder block: programs evolve by mutation."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument(
        "--budget",
        type=float,
        default=100.0,
        help="compute of the search, in trainings of the start program (default: 100)",
    )
    parser.add_argument("--output", help="folder of the search")
    parser.add_argument("--resume", action="store_true", help="continue the search in OUTPUT")
    parser.add_argument(
        "--algorithm",
        choices=ALGORITHMS,
        default="evolution",
        help="random is the baseline; both may be in one folder (default: evolution)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        help="Ray actors with a core each, or 0 for this process alone (default: all cores)",
    )
    parser.add_argument("--address", help="address of a Ray cluster (default: this machine)")
    for field in dataclasses.fields(SearchConfig):
        arguments: dict[str, Any] = {"help": field.metadata["help"], "default": argparse.SUPPRESS}
        if field.name == "data":
            arguments |= {"nargs": "+", "action": JoinedWords}
        else:
            arguments["type"] = field.type
            arguments["help"] += f" (default: {field.default})"
        parser.add_argument(f"--{field.name}", **arguments)
    subparsers = parser.add_subparsers(dest="action", metavar="{show,retrain}")
    show = subparsers.add_parser("show", help="write DIR/search.html, or one program")
    retrain = subparsers.add_parser("retrain", help="train the best again, for longer")
    for each in (show, retrain):
        each.add_argument("directory", help="folder of a search")
    show.add_argument(
        "--number", type=int, help="number of an individual of the evolution (default: the best)"
    )
    forms = show.add_mutually_exclusive_group()
    forms.add_argument("--as-json", action="store_true", help="print the program as JSON")
    forms.add_argument("--as-gin", action="store_true", help="print the gin file of its layers")
    forms.add_argument("--as-preset", metavar="FOLDER", help="save a preset with its layers")
    retrain.add_argument("--top", type=int, default=10, help="programs (default: 10)")
    retrain.add_argument(
        "--retrain_steps", type=int, help="steps of the start (default: 10 times --steps)"
    )
    retrain.add_argument(
        "--seeds", type=int, default=3, help="trainings of each program (default: 3)"
    )


def run(arguments: Namespace) -> None:
    """Runs the action, by default the search."""
    # JAX compiles these models several times faster than TensorFlow traces and compiles them.
    backend = os.environ.setdefault("KERAS_BACKEND", "jax")
    for name in ("pyglove", backend):
        if importlib.util.find_spec(name) is None:
            raise UserError(f"{name} is not installed; run: {install_command('search')}")
    {"show": show, "retrain": retrain, None: search}[arguments.action](arguments)


def search(arguments: Namespace) -> None:
    """Starts or continues a search."""
    POSITIVE.check(arguments.budget, "budget")
    if arguments.workers is not None:
        COUNT_OR_ZERO.check(arguments.workers, "workers")
    if arguments.output is None:
        raise UserError("primer search needs --output.")
    config = _config(arguments)
    with status("Loading JAX"):
        from primer_tf.search.progress import ProgressLines
        from primer_tf.search.search import run_search
    progress = ProgressLines(report=lambda line: print(line, flush=True))
    last = run_search(
        arguments.output,
        arguments.budget,
        config,
        arguments.algorithm,
        _engine(arguments),
        progress,
    )
    print(progress.line(last))
    print(f"The page of the search: primer search show {arguments.output}")


def _config(arguments: Namespace) -> SearchConfig | None:
    names = {field.name for field in dataclasses.fields(SearchConfig)}
    given = {name: value for name, value in vars(arguments).items() if name in names}
    if arguments.resume:
        before = read_config(arguments.output)
        if dataclasses.replace(before, **given) != before:
            raise UserError("A resumed search keeps its own options; leave the others out.")
        return None
    if "data" not in given:
        raise UserError("primer search needs --data, or --resume.")
    return SearchConfig(**given)


def _engine(arguments: Namespace):
    if arguments.workers == 0:
        return None

    def make(config, tokens):
        from primer_tf.search.ray_engine import RayEngine

        return RayEngine(config, tokens, arguments.workers, arguments.address)

    return make


def show(arguments: Namespace) -> None:
    """Writes the page of a search, or one of its programs."""
    from primer_tf.search.stored_program import program_of

    if not (arguments.as_json or arguments.as_gin or arguments.as_preset):
        from primer_tf.search.page import write_page

        print(write_page(arguments.directory))
        return
    program = program_of(arguments.directory, arguments.number)
    if arguments.as_json:
        print(json.dumps(json.loads(program.to_json()), indent=1))
        return
    from primer_tf.search.expressible import backbone_arguments

    config = read_config(arguments.directory)
    described = backbone_arguments(program, config.hidden_dim)
    described |= {
        "num_layers": config.num_layers,
        "vocabulary_size": config.vocabulary_size,
        "max_sequence_length": config.sequence_length,
    }
    with status("Loading JAX"):
        from primer_tf.models import PrimerBackbone

    backbone = PrimerBackbone(**described)
    if arguments.as_gin:
        from primer_tf.gin_config import gin_writer

        print(gin_writer.write(backbone.arguments), end="")
    else:
        backbone.save_to_preset(arguments.as_preset)
        print(f"{arguments.as_preset}: fresh weights; train it with primer train --preset")


def retrain(arguments: Namespace) -> None:
    """Trains the best of a search again."""
    COUNT.check(arguments.top, "top")
    config = read_config(arguments.directory)
    steps = arguments.retrain_steps or 10 * config.steps
    COUNT.check(steps, "retrain_steps")
    COUNT.check(arguments.seeds, "seeds")
    with status("Loading JAX"):
        from primer_tf.search.retrain import PRESET, retrain

    retrain(arguments.directory, arguments.top, steps, arguments.seeds)
    print(f"The preset of the best: {arguments.directory}/{PRESET}")
