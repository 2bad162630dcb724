"""The benchmarks run, with only our models and at tiny sizes."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu, harness
from benchmarks.worker import Work, cost
from primer_tf.gin_config.presets import preset_arguments

CHECKOUT = Path(__file__).resolve().parents[2]
NAMES = [
    *("train_step", "parts", "length_and_vocabulary", "generate", "score", "evaluate"),
    *("drop_in", "prepare"),
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("export", "speculative", "long_text")
    ),
]


def run(benchmark, output):
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", "--smoke", "--output", str(output)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout


def check_rows(benchmark, printed, output):
    assert "GFLOP/s in matrix products" in printed
    record = json.loads((output / f"{benchmark}.json").read_text())
    for rows in record["tables"].values():
        for row in rows:
            assert 0 < row["fastest"] <= row["seconds"] <= row["slowest"]
            assert row.get("peak_rss_gb", 1.0) > 0.1
    assert (output / f"{benchmark}.png").stat().st_size > 1000


@pytest.fixture
def candidates_in_this_process(monkeypatch):
    """Runs candidates in this process, which saves their imports."""

    class InProcess:
        def __init__(self, label, module, benchmark, settings, backend="tensorflow", root=None):
            self.label, self.work, self.runs = label, Work(module, benchmark, settings), []
            self.first = cost(self.work)

        def run(self):
            self.runs.append(cost(self.work))

        def close(self):
            pass

    monkeypatch.setattr(harness, "Candidate", InProcess)


@pytest.mark.parametrize("benchmark", NAMES)
def test_benchmark(candidates_in_this_process, benchmark, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", [benchmark, "--smoke", "--output", str(tmp_path)])
    runpy.run_module(f"benchmarks.{benchmark}", run_name="__main__")
    check_rows(benchmark, capsys.readouterr().out, tmp_path)


@pytest.mark.slow
def test_gpu(candidates_in_this_process, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu", "--smoke", "--output", str(tmp_path)])
    gpu.main()
    record = json.loads((tmp_path / "gpu.json").read_text())
    rows = [row for rows in record["tables"].values() for row in rows]
    assert len(rows) == 6
    for row in rows:
        # Only flash attention may be missing, as it is on CPUs.
        assert row["seconds"] > 0 if "flash" not in row["candidate"] else row["not_supported"]
    assert record["device"]["device"] in capsys.readouterr().out
    assert (tmp_path / "gpu.png").stat().st_size > 1000


def test_gpu_measures_the_medium_model():
    arguments = preset_arguments("medium_transformer_vanilla")
    assert {key: arguments[key] for key in gpu.MEDIUM} == gpu.MEDIUM


@pytest.mark.slow  # several processes that import TensorFlow
def test_drop_in_quality(candidates_in_this_process, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["drop_in_quality", "--smoke", "--output", str(tmp_path)])
    for _ in range(2):  # the second time, the runs are in the file
        runpy.run_module("benchmarks.drop_in_quality", run_name="__main__")
    assert "GPT2: validation loss" in capsys.readouterr().out
    runs = json.loads((tmp_path / "drop_in_quality.json").read_text())["runs"]
    assert set(runs) == {"GPT2/plain/0", "GPT2/primer_ez/0"}
    assert (tmp_path / "drop_in_quality.png").stat().st_size > 1000


@pytest.mark.slow
def test_before_and_after(candidates_in_this_process, monkeypatch, tmp_path, capsys):
    arguments = ["--smoke", "--output", str(tmp_path), "--before", str(CHECKOUT)]
    monkeypatch.setattr(sys, "argv", ["before_and_after", *arguments])
    runpy.run_module("benchmarks.before_and_after", run_name="__main__")
    check_rows("before_and_after", capsys.readouterr().out, tmp_path)


@pytest.mark.slow  # several processes that import TensorFlow
def test_candidates_run_in_their_own_processes(tmp_path):
    check_rows("score", run("score", tmp_path), tmp_path)


def test_startup(tmp_path):
    assert "import primer_tf" in run("startup", tmp_path)
    assert all(json.loads((tmp_path / "startup.json").read_text()).values())


@pytest.mark.slow  # several processes that import TensorFlow
def test_decoding_parts(tmp_path):
    assert "dot" in run("decoding_parts", tmp_path)
    (parts,) = json.loads((tmp_path / "decoding_parts.json").read_text()).values()
    assert sum(parts.values()) > 0


@pytest.mark.slow  # several processes that import TensorFlow
def test_memory_parts(tmp_path):
    run("memory_parts", tmp_path)
    step, checkpointed, loss = json.loads((tmp_path / "memory_parts.json").read_text()).values()
    for row in (step, checkpointed):
        *parts, resident = row.values()
        assert sum(parts) == pytest.approx(resident, rel=0.05)
    assert 0 < loss["table"] < loss["other tensors at the peak"]


@pytest.mark.slow  # prepares and trains
def test_large_corpus(tmp_path):
    arguments = ["--gigabytes", "0.05", "--output", str(tmp_path)]
    command = [sys.executable, "-m", "benchmarks.large_corpus", *arguments]
    printed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    results = json.loads((tmp_path / "large_corpus.json").read_text())
    assert 0.1 < results["prepare"]["peak_rss_gb"] < 1 and "GB resident" in printed.stdout
    assert 0.3 < results["train"]["peak_rss_gb"] < 2


@pytest.mark.slow
def test_engines(tmp_path):
    run("engines", tmp_path)
    rows = json.loads((tmp_path / "engines.json").read_text())["rows"]
    assert len(rows) == 2
    assert all(row["tokens_per_second"] > 0 for row in rows.values())
