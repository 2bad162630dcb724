"""`primer prepare`: tokenizes a text of any size into shards."""

import os
import shlex
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from primer_tf.cli import options
from primer_tf.cli.terminal import status
from primer_tf.training.config import COUNT

HELP = "Tokenize a text of any size into a folder, which is then the --data of primer train."

# The shortest time between two lines of progress, in seconds.
SECONDS = 5.0


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    options.add_field(parser, "data", required=True)
    options.add_field(parser, "validation_data")
    options.add_field(parser, "vocabulary")
    options.add_field(parser, "vocabulary_size")
    parser.add_argument(
        "--workers",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="processes that tokenize (default: %(default)s, the number of cores); with --beam "
        "the number of parts of the work",
    )
    parser.add_argument(
        "--beam",
        metavar="OPTIONS",
        help="tokenize by an Apache Beam pipeline with these options, as in "
        '"--runner=FlinkRunner --flink_master=ADDRESS"; "" runs it on this machine',
    )
    parser.add_argument(
        "--output",
        required=True,
        help="folder to write; one that is not complete is continued, one that is, checked",
    )


def run(arguments: Namespace) -> None:
    """Prepares the text and says what was written."""
    options.check_field(arguments, "vocabulary_size")
    COUNT.check(arguments.workers, "workers")

    from primer_tf.data.prepare import prepare
    from primer_tf.data.prepare_on_beam import prepare_on_beam
    from primer_tf.tasks.text import TextSource

    beam = None
    if arguments.beam is not None:
        beam = prepare_on_beam(arguments.workers, shlex.split(arguments.beam))
    with status("Reading the text"):
        text = TextSource(arguments.data, arguments.validation_data)
        sizes = [text.characters(split) for split in ("train", "validation")]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    with _progress(total) as on_text:
        prepared = prepare(
            text,
            arguments.output,
            arguments.vocabulary,
            vocabulary_size=arguments.vocabulary_size,
            workers=1 if beam else arguments.workers,
            write_elsewhere=beam,
            on_text=on_text,
        )
    for split in prepared.index.splits:
        shards = prepared.shards(split)
        print(
            f"{split}: {len(shards):,} tokens, {shards.text.num_bytes:,} bytes, "
            f"{shards.text.num_words:,} words, shards: {len(shards.records)}"
        )
    print(f"Train on it: primer train --preset PRESET --data {arguments.output} --output RUN")


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """Shows a bar on a terminal, and lines elsewhere.

    Args:
        total: The number of characters, if it is known.

    Yields:
        A function that is called with the number of characters just done.
    """
    from rich.console import Console

    console = Console()
    if console.is_interactive:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as Speed

        columns = (TextColumn("prepared"), BarColumn(), Speed(), TimeRemainingColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("", total=total)
            yield lambda characters: bar.advance(task, characters)
        return
    start = last = time.monotonic()
    done = 0

    def on_text(characters: int) -> None:
        nonlocal done, last
        done += characters
        now = time.monotonic()
        if now - last < SECONDS:
            return
        last, rate = now, done / (now - start)
        share = "" if total is None else f" of {total / 1e6:,.0f}"
        left = "" if total is None else f"  {(total - done) / rate:,.0f} s left"
        print(f"{done / 1e6:,.0f}{share} million characters  {rate / 1e6:.1f} a second{left}")

    yield on_text
