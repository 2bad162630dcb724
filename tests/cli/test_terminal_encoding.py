"""The installed command where the terminal, or what is typed in it, is not UTF-8."""

import os
import subprocess
import sys

import pytest

from tests.sample_text import SENTENCES

PRIMER = os.path.join(os.path.dirname(sys.executable), "primer")


def primer(folder, *arguments, encoding="utf-8"):
    """Returns the exit status of the command, what it printed, and the lines of its errors."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([PRIMER, *arguments], capture_output=True, cwd=folder, env=environment)
    return done.returncode, done.stdout.decode("ascii"), done.stderr.decode("ascii").splitlines()


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "preset", "--prompt", "And", "--prompt", b"caf\xe9"],
        ["vocab", "--data", b"caf\xe9.txt", "--output", "out"],
        ["export", b"caf\xe9", "serving"],
    ],
)
def test_bytes_that_are_not_utf8(tmp_path, arguments):
    status, printed, (line,) = primer(tmp_path, *arguments)
    assert (status, printed) == (1, "")
    assert line.startswith("primer: error: ") and "is not UTF-8 text: 'caf\\udce9" in line


@pytest.mark.parametrize(
    "encoding, name, escaped",
    [("ascii", "caf\xe9", "caf\\xe9"), ("latin-1", "\u6f22", "\\u6f22")],
)
def test_a_terminal_that_lacks_characters(tmp_path, encoding, name, escaped):
    vocab = ["vocab", "--size", "300", "--data", f"{name}.txt", "--output", f"{name}.model"]
    status, printed, (line,) = primer(tmp_path, *vocab, encoding=encoding)
    assert (status, printed) == (1, "")
    assert line == f"primer: error: No such data file: {escaped}.txt."

    (tmp_path / f"{name}.txt").write_text("\n".join(4 * SENTENCES), encoding="utf-8")
    status, printed, (line,) = primer(tmp_path, *vocab, encoding=encoding)
    assert (status, printed) == (0, f"Wrote {escaped}.model.\n")
    assert line.startswith("primer: warning: ") and "PYTHONIOENCODING=utf-8" in line
    assert (tmp_path / f"{name}.model").is_file()
