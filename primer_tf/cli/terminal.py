"""Printing on terminals of any encoding, and signs of life."""

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def printable() -> Iterator[None]:
    """Lets the block print any text, whatever the terminal's encoding.

    Characters that the encoding lacks are printed as escapes such as `\\u2019`, and a line on the
    standard error says so.
    """
    escaped = False

    def escape(error: UnicodeError) -> tuple[str | bytes, int]:
        nonlocal escaped
        escaped = True
        return codecs.backslashreplace_errors(error)

    codecs.register_error("primer_tf.escape", escape)
    handlers = [(sys.stdout, "primer_tf.escape"), (sys.stderr, "backslashreplace")]
    strict = [
        (stream, handler)
        for stream, handler in handlers
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict"
    ]
    for stream, handler in strict:
        stream.reconfigure(errors=handler)
    try:
        yield
    finally:
        if escaped:
            print(
                f"primer: warning: characters that {sys.stdout.encoding} lacks were printed as "
                "escapes; set PYTHONIOENCODING=utf-8 to print them as they are",
                file=sys.stderr,
            )
        for stream, _ in strict:
            stream.reconfigure(errors="strict")


@contextmanager
def status(text: str) -> Iterator[None]:
    """Shows on the standard error that the block is at work, if that is a terminal.

    Args:
        text: What the block does.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    # A descriptor of its own: while TensorFlow is imported, number 2 leads elsewhere.
    with (
        os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8") as terminal,
        Console(file=terminal).status(Text(text)),
    ):
        yield
