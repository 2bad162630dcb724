"""The log lines of libraries, and signs of life."""

import os
import re
import subprocess
import sys

import pytest

from primer_tf.cli.libraries import NO_ERRORS
from primer_tf.cli.terminal import status
from tests.pseudo_terminal import run_on_terminal

CUDA = "cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit:"


@pytest.mark.parametrize(
    "line, is_hidden",
    [
        ("I0000 00:00:1795636949.900218   12312 port.cc:153] oneDNN custom operations are on.", 1),
        ("W0000 00:00:1795636949.900218   12312 computation_placer.cc:177] registered", 1),
        ("E0000 00:00:1795636949.900218   12312 cuda_dnn.cc:8579] Unable to register", 0),
        ("F0000 00:00:1795636949.900218   12312 check.cc:1] Check failed", 0),
        ("2026-07-01 12:00:00.123456: I tensorflow/core/util/port.cc:153] oneDNN", 1),
        ("2026-07-01 12:00:00.123456: W tensorflow/stream_executor/x.cc:64] No library", 1),
        ("2026-07-01 12:00:00.123456: E tensorflow/x.cc:64] failed", 0),
        (f"E0000 00:00:1795636949.900218   12312 {CUDA} UNKNOWN ERROR (303)", 1),
        (f"E0000 00:00:1795636949.900218   12312 {CUDA} CUDA_ERROR_NO_DEVICE (100)", 1),
        (f"E0000 00:00:1795636949.900218   12312 {CUDA} CUDA_ERROR_OUT_OF_MEMORY (2)", 0),
        ("WARNING: All log messages before absl::InitializeLog() is called are written", 1),
        ("ImportError: libcublas.so", 0),
    ],
)
def test_lines_that_are_hidden(line, is_hidden):
    assert bool(NO_ERRORS.match(line)) == bool(is_hidden)


IMPORTS = """
import os, sys
from primer_tf.cli import main, models

class Complaint:
    @staticmethod
    def find_spec(name, *rest):
        if name == "tensorflow.python":
            os.write(2, b"E0000 00:00:1 an error\\n")

def run(arguments):
    import keras
    keras.ops.zeros(1) + 1
    os.write(2, b"after\\n")

os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)
sys.meta_path.insert(0, Complaint)
models.run = run
status = main(["models"])
assert "tensorflow" in sys.modules
assert not [finder for finder in sys.meta_path if "primer_tf.cli" in repr(finder)]
sys.exit(status)
"""


def test_only_errors_of_tensorflow_are_shown():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["E0000 00:00:1 an error", "after"]


@pytest.mark.slow
@pytest.mark.parametrize("options, shows", [([], False), (["-v"], True)])
def test_lines_of_the_command(small_preset, tmp_path, options, shows):
    """Also when it loads what an earlier run has compiled."""
    command = [sys.executable, "-m", "primer_tf.cli", "generate", str(small_preset)]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PRIMER_TF_CACHE"] = str(tmp_path)
    command += ["--prompt", "And", *options]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        assert bool(done.stderr) == shows, done.stderr
    assert list(tmp_path.rglob("*.pb"))


def at_work():
    with status("Loading [x]"):
        print("a line", file=sys.stderr)


def test_a_sign_of_life_on_a_terminal():
    sent = run_on_terminal(at_work, stream="stderr")
    assert "Loading [x]" in sent and "a line" in sent
    assert sent.count("\x1b[?25l") == sent.count("\x1b[?25h") == 1, "the cursor comes back"
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", sent)
    assert shown.count("a line") == 1


def test_no_sign_where_there_is_no_terminal(capsys):
    at_work()
    assert capsys.readouterr().err == "a line\n"
