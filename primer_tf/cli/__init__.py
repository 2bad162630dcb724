"""The `primer` command: one module for each subcommand.

A subcommand's module has `HELP`, `add_arguments(parser)` and `run(arguments)`. It imports what it
needs of TensorFlow and Keras only when it runs, so that `primer --help` answers at once.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import primer_tf
from primer_tf.cli import (
    ablate,
    compare,
    convert,
    demo,
    evaluate,
    export,
    generate,
    models,
    plan,
    prepare,
    scale,
    search,
    serve,
    study,
    tasks,
    train,
    vocab,
)
from primer_tf.cli.errors import check_text, explain
from primer_tf.cli.libraries import library_logs
from primer_tf.cli.terminal import printable

COMMANDS = (
    *(models, vocab, prepare, plan, train, convert, evaluate, tasks),
    *(generate, export, serve, demo),
    *(compare, ablate, scale, study, search),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status.

    It is 0, 1 for an error, and 128 plus the number of a signal (130 for Ctrl-C).

    The environment variable PRIMER_TF_TRACEBACK, if set, shows tracebacks behind one-line errors.

    Args:
        argv: The arguments without the program's name. Defaults to those of the process.
    """
    with printable():
        arguments = build_parser().parse_args(argv)
        try:
            check_text(arguments)
            with library_logs(arguments.verbose):
                arguments.run(arguments)
        except BrokenPipeError:
            # The reader has seen enough: discard what Python would still write.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except KeyboardInterrupt as error:
            print(f"primer: {str(error) or 'interrupted'}", file=sys.stderr)
            return 128 + getattr(error, "number", signal.SIGINT)
        except Exception as error:
            if os.environ.get("PRIMER_TF_TRACEBACK"):
                raise
            print(f"primer: {' '.join(explain(error).splitlines())}", file=sys.stderr)
            return 1
    return 0


class Version(argparse.Action):
    """Prints the versions of the package and of what it stands on, and exits."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, nargs=0, help="print the versions and exit")

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Prints the versions."""
        from importlib import metadata

        names = ("tensorflow", "keras", "keras-hub")
        others = ", ".join(f"{name} {metadata.version(name)}" for name in names)
        print(f"primer_tf {primer_tf.__version__} ({others})")
        sys.exit(0)


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command with all its subcommands."""
    parser = argparse.ArgumentParser(
        prog="primer", description="Train, evaluate, sample and export Primer language models."
    )
    parser.add_argument("--version", action=Version)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        subparser = subparsers.add_parser(name, help=command.HELP, description=command.HELP)
        subparser.set_defaults(run=command.run)
        subparser.add_argument(
            "-v", "--verbose", action="store_true", help="show the log lines of libraries"
        )
        command.add_arguments(subparser)
    return parser
