"""Terminals that are not UTF-8, and errors as the user sees them."""

import os
import subprocess
import sys

import pytest

from primer_tf.cli import main

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
    assert "`primer train --resume` continues a run" in capsys.readouterr().err
