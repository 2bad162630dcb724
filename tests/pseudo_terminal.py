"""Functions that run with a terminal."""

import contextlib
import os
import pty
import sys
import threading

import pytest


def run_on_terminal(function, name="xterm", stream="stdout"):
    """Runs a function with a pseudo-terminal as a stream of `sys`; returns what it was sent."""
    leader, follower = pty.openpty()
    sent = []

    def read():
        with contextlib.suppress(OSError):  # The other end is closed.
            while data := os.read(leader, 4096):
                sent.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    with (
        os.fdopen(follower, "w", encoding="utf-8") as terminal,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TERM", name)
        patch.setenv("COLUMNS", "100")
        patch.setattr(sys, stream, terminal)
        function()
    reader.join()
    os.close(leader)
    return b"".join(sent).decode("utf-8")
