"""Terminals and arguments that are not UTF-8, and errors as the user sees them."""

import os
import subprocess
import sys

import pytest

from primer_tf.cli import main
from tests.sample_text import SENTENCES

PRIMER = os.path.join(os.path.dirname(sys.executable), "primer")
PRINTS = """
import sys
from primer_tf.cli import main, models
models.run = lambda arguments: print("caf\\u00e9 \\u2019 \\U0001f600")
sys.exit(main(["models"]))
"""


@pytest.mark.parametrize(
    "encoding, expected, warns",
    [
        ("utf-8", "caf\u00e9 \u2019 \U0001f600", False),
        ("iso8859-1", "caf\u00e9 \\u2019 \\U0001f600", True),
        ("ascii", "caf\\xe9 \\u2019 \\U0001f600", True),
    ],
)
def test_characters_that_a_terminal_lacks(encoding, expected, warns):
    done = subprocess.run(
        [sys.executable, "-c", PRINTS],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout.decode(encoding)) == (0, expected + "\n")
    warning = f"characters that {encoding} lacks were printed as escapes"
    assert (warning in done.stderr.decode()) == warns
    assert len(done.stderr.decode().splitlines()) == warns


def test_streams_are_as_before(capsys):
    sys.stdout.reconfigure(errors="strict")
    assert main(["generate", "x", "--prompt", ""]) == 1
    assert sys.stdout.errors == "strict"


def error_of(capsys, arguments):
    """Runs the command, which must fail; returns its one line."""
    assert main([str(argument) for argument in arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def fails_with(monkeypatch, error):
    def fail(arguments):
        raise error

    monkeypatch.setattr("primer_tf.cli.models.run", fail)


def test_arguments_that_are_not_text(tmp_path, capsys, text_file):
    bad = os.fsdecode(b"God \xff said")
    for arguments, name in (
        (["generate", "x", "--prompt", "And", "--prompt", bad], "prompt"),
        (["evaluate", bad, "--data", text_file], "preset"),
        (["vocab", "--data", bad, "--output", tmp_path / "out"], "data"),
        (["train", "--gin_param", bad, "--output", tmp_path / "out"], "gin_param"),
    ):
        assert f"{name} is not UTF-8 text: 'God \\udcff said'" in error_of(capsys, arguments)
    assert "data has a null character" in error_of(capsys, ["evaluate", "x", "--data", "a\0b"])
    assert not os.listdir(tmp_path)


def test_an_internal_error_is_one_line(capsys, monkeypatch):
    fails_with(monkeypatch, KeyError("first\nsecond"))
    line = error_of(capsys, ["models"])
    assert line.startswith("primer: internal error: KeyError: ")
    assert "PRIMER_TF_TRACEBACK=1" in line
    monkeypatch.setenv("PRIMER_TF_TRACEBACK", "1")
    with pytest.raises(KeyError):
        main(["models"])


def test_too_little_memory(capsys, monkeypatch):
    fails_with(monkeypatch, MemoryError())
    assert "not enough memory; reduce the batch size" in error_of(capsys, ["models"])


def test_an_interrupt(capsys, monkeypatch):
    fails_with(monkeypatch, KeyboardInterrupt())
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "primer: interrupted\n"


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
