"""Runs a module in a process of its own, with devices or a backend of its own."""

import subprocess
import sys


def run_module(request, environment, module, *arguments):
    """Returns what it prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=request.config.rootpath,
        env=dict(environment),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
