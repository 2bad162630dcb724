"""Runs of `primer train` on two hosts: two processes of this machine."""

import os
import re
import socket
import subprocess
import sys
from contextlib import closing

GLOO = re.compile(r"\[Gloo\]|peer ranks")


def free_port():
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def environment(devices):
    """That of a process with some virtual devices."""
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    return {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}


def start(arguments, devices=1, extra=((), ()), folders=(None, None)):
    """Starts `primer train` on two hosts with some devices each; returns the processes.

    `extra` are the arguments of one host only, and `folders` those that they start in.
    """
    address = f"127.0.0.1:{free_port()}"
    return [
        subprocess.Popen(
            [sys.executable, "-m", "primer_tf.cli", "train", *map(str, arguments)]
            + ["--coordinator", address, "--num_hosts", "2", "--host", str(host)]
            + [str(argument) for argument in extra[host]],
            cwd=folders[host],
            env=environment(devices),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for host in range(2)
    ]


def ends(processes):
    """Waits; returns the status, the printed lines and the lines of errors of each process."""
    results = []
    for process in processes:
        output, errors = process.communicate(timeout=900)
        # What gloo prints is no line of ours. Its threads write parts of lines between each other.
        lines = [line for line in output.splitlines() if not GLOO.search(line)]
        results.append((process.returncode, lines, errors.splitlines()))
    return results


def errors_of(result):
    """The error lines of a process, without the information that libraries print."""
    return [line for line in result[2] if line.startswith("primer")]
