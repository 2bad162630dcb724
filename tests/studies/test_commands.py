"""The commands of studies: real runs of tiny models, interruptions, and bad input."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from primer_tf.cli import main
from primer_tf.studies.run_record import read_record
from tests.cli.tiny_runs import check
from tests.sample_text import SENTENCES

TINY = ["--budget", "steps:4", "--seeds", "2", "--batch_size", "2", "--sequence_length", "8"]
TINY += ["--interval", "2", "--vocabulary_size", "300"]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n".join([*SENTENCES] * 20))
    return path


def arguments(text, output, *extra):
    return ["compare", "--data", str(text), "--output", str(output), *TINY, *extra]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--models", "vanilla"], ["two models"]),
        (["--models", "vanilla,x"], ["Unknown model 'x'", "primer models"]),
        (["--models", "vanilla,vanilla"], ["given twice"]),
        (["--budget", "steps"], ["steps:N"]),
        (["--budget", "steps:1.5"], ["whole steps"]),
        (["--budget", "flops:1e3"], ["at least 2"]),
        (["--budget", "days:1"], ["flops:X"]),
        (["--seeds", "0"], ["seeds must be at least 1"]),
        (["--batch_size", "0"], ["batch_size"]),
    ],
)
def test_bad_options(capsys, text, tmp_path, extra, words):
    check(capsys, main(arguments(text, tmp_path / "study", *extra)), *words)
    assert not (tmp_path / "study").exists()


def test_a_text_is_needed(capsys, tmp_path):
    check(capsys, main(["compare", "--output", str(tmp_path / "study")]), "needs --data")


def test_bad_shapes(capsys, text, tmp_path):
    command = ["scale", "--data", str(text), "--output", str(tmp_path / "s")]
    check(capsys, main([*command, "--shapes", "65x1"]), "multiple of 32")
    check(capsys, main([*command, "--shapes", "64"]), "64x2,128x4")
    check(capsys, main([*command, "--lengths", "2"]), "shares of the budget")


def test_unknown_modifications(capsys, text, tmp_path):
    command = ["ablate", "--data", str(text), "--output", str(tmp_path / "s")]
    check(capsys, main([*command, "--modifications", "x"]), "Unknown modification 'x'")


def test_no_study(capsys, tmp_path):
    check(capsys, main(["study", str(tmp_path / "none")]), "no study")
    check(capsys, main(["study", "--report", str(tmp_path)]), "study.json is missing")


@pytest.mark.slow
def test_a_comparison_from_the_command_to_the_report(text, tmp_path, capsys):
    output = tmp_path / "study"
    assert main(arguments(text, output)) == 0
    records = {path.name: path.read_bytes() for path in (output / "runs").iterdir()}
    assert len(records) == 4
    record = read_record(output / "runs" / "primer_ez-4_steps-seed_1.json")
    assert record["curve"]["step"] == [2, 4]
    assert not list((output / "work").iterdir())
    # All models of a seed, and all seeds, saw the same text.
    digests = {read_record(output / "runs" / name)["tokens_sha256"] for name in records}
    assert len(digests) == 1
    shown = capsys.readouterr().out
    assert "primer_ez" in shown and "Report:" in shown
    # The same command finds everything done.
    assert main(arguments(text, output)) == 0
    assert "4 of 4 runs are already done" in capsys.readouterr().out
    assert records == {path.name: path.read_bytes() for path in (output / "runs").iterdir()}
    # Other options are another study.
    check(capsys, main(arguments(text, output, "--z_loss", "0")), "another study", "z_loss")
    page = (output / "report.html").read_text()
    assert "primer compare" in page or "primer study" in page


@pytest.mark.slow
def test_a_run_that_diverges(text, tmp_path, capsys):
    output = tmp_path / "study"
    extra = ["--models", "vanilla,primer_ez", "--seeds", "1", "--z_loss", "1e38"]
    assert main(arguments(text, output, *extra)) == 0
    record = read_record(output / "runs" / "vanilla-4_steps-seed_0.json")
    assert record["status"] == "diverged"
    assert "has diverged" in (output / "report.html").read_text()


@pytest.mark.slow
def test_runs_of_a_model_at_once(text, tmp_path):
    output = tmp_path / "study"
    command = [sys.executable, "-m", "primer_tf.cli", *arguments(text, output, "--vectorize", "2")]

    def run(backend):
        environment = {**os.environ, "KERAS_BACKEND": backend}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    refused = run("tensorflow")
    assert refused.returncode == 1 and "set KERAS_BACKEND=jax" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1 and not (output / "runs").exists()
    done = run("jax")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 runs at once, step 4/4") == 2
    assert len(list((output / "runs").iterdir())) == 4


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_and_started_again_it_goes_on(text, tmp_path, number):
    output = tmp_path / "study"
    extra = ["--budget", "steps:40", "--seeds", "1"]
    command = [sys.executable, "-m", "primer_tf.cli", *arguments(text, output, *extra)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    work = output / "work" / "vanilla-40_steps-seed_0"
    deadline = time.monotonic() + 300
    while not list(work.glob("checkpoints/step_*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    if number == signal.SIGTERM:
        assert process.returncode == 128 + number
        assert "goes on from its last checkpoint" in errors
    assert not (output / "runs").exists()
    # The run ends with the process that started it, and unlocks its folder.
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    while "Another process" in done.stderr and time.monotonic() < deadline:
        time.sleep(1)
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "Resuming at step" in done.stdout
    assert len(list((output / "runs").iterdir())) == 2
    assert os.path.exists(output / "report.html")


@pytest.mark.slow
def test_the_smoke_study(tmp_path):
    from tests.docs.guide_blocks import CHECKOUT

    folder = tmp_path / "smoke"
    folder.mkdir()
    definition = CHECKOUT / "results" / "smoke" / "study.json"
    (folder / "study.json").write_text(definition.read_text())
    assert main(["study", str(folder)]) == 0
    assert len(list((folder / "runs").iterdir())) == 4
    assert json.loads(definition.read_text())["title"] == "A smoke test"
