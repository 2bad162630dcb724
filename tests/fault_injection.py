"""Runs the `primer` command and ends it with SIGKILL at a chosen moment.

    python -m tests.fault_injection EVENT NAME COUNT ARGUMENTS...

SIGKILL comes just before the COUNT-th time that Python raises the audit event EVENT (`open`,
`os.rename`, ...) with NAME in one of its arguments. With the event `half`, it comes when the file
NAME is half written.
"""

import os
import signal
import sys


def kill_at(event, name, count=1):
    """Prepares to end this process with SIGKILL at the moment described above."""
    seen = 0

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def hook(happened, arguments):
        nonlocal seen
        if happened == event and any(name in str(argument) for argument in arguments):
            seen += 1
            if seen == count:
                die()

    if event == "half":
        kill_in_the_middle_of(name, count, die)
    else:
        sys.addaudithook(hook)


def kill_in_the_middle_of(name, count, die):
    """Calls `die` when half of the `count`-th archive named `name` is on disk."""
    import io

    import numpy as np

    savez, seen = np.savez, 0

    def half(path, **arrays):
        nonlocal seen
        seen += name in str(path)
        if seen < count:
            return savez(path, **arrays)
        content = io.BytesIO()
        savez(content, **arrays)
        with open(path, "wb") as file:
            file.write(content.getvalue()[: content.tell() // 2])
        return die()

    np.savez = half


def killed_worker():
    """Returns a function that ends its process with SIGKILL."""
    return _killed


def _killed(_):
    os.kill(os.getpid(), signal.SIGKILL)


def run_and_kill(event, name, count, arguments):
    """Runs the command with `arguments` until that moment."""
    from primer_tf.cli import main

    kill_at(event, name, count)
    sys.exit(main(arguments))


if __name__ == "__main__":
    run_and_kill(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
