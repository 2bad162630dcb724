"""Printing on a terminal of any encoding."""

import codecs
import io
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
