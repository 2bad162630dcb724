"""One line in place of what JAX prints when another host of a run has ended.

JAX then ends the process from a thread of its own, with a stack trace, and no Python code runs any
more. So the standard error of the run goes through another process, which waits for its end.

Importing this module imports neither TensorFlow nor Keras.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from typing import TextIO

LOST = (
    "Another host of the run has ended; see its messages, then start the command on all hosts "
    "again, with --resume."
)
# Information, warnings and errors of JAX' coordination service, and its stack trace.
NOISE = re.compile(r"[IWE]\d{4} .* (coordination|preemption)\w*\.cc:\d+\]")
FATAL = re.compile(r"F\d{4} .* client\.h:\d+\] Terminating process because the JAX")
# What the errors of JAX' collectives have in common.
OF_COLLECTIVES = ("Gloo", "NCCL", "closed by peer", "UNAVAILABLE", "DEADLINE_EXCEEDED", "heartbeat")


def is_of_lost_host(error: BaseException) -> bool:
    """Whether an error of JAX says that another host does not answer."""
    return any(sign in str(error) for sign in OF_COLLECTIVES)


def watch_standard_error() -> None:
    """Sends the standard error of this process through one that runs this module."""
    reader, writer = os.pipe()
    # A session of its own: it outlives a signal to this process.
    subprocess.Popen(
        [sys.executable, "-m", "primer_tf.distribution.lost_host"],
        stdin=reader,
        start_new_session=True,
    )
    os.close(reader)
    os.dup2(writer, sys.stderr.fileno())
    os.close(writer)


def copy_lines(lines: Iterable[str], output: TextIO) -> None:
    """Copies the lines of a process until it ends; then says why, if another host was the reason.

    Args:
        lines: What the process writes.
        output: Where the lines go, but for those of JAX about a host that has ended.
    """
    hidden, lost, explained = False, False, False
    for line in lines:
        if line.startswith("primer:"):
            hidden, explained = False, True
        elif NOISE.match(line) or FATAL.match(line):
            # Its next lines belong to it.
            hidden = True
            lost = lost or FATAL.match(line) is not None
        if not hidden:
            output.write(line)
            output.flush()
    if lost and not explained:
        output.write(f"primer: error: {LOST}\n")


if __name__ == "__main__":
    copy_lines(sys.stdin, sys.stderr)
