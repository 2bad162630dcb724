"""The benchmark scripts run, on ours alone and at tiny sizes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
QUESTIONS = ["train_step", "parts", "length_and_vocabulary", "generate", "score"]


def run(question, output):
    command = [sys.executable, BENCHMARKS / f"{question}.py", "--smoke", "--output", str(output)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize("question", QUESTIONS)
def test_question(question, tmp_path):
    printed = run(question, tmp_path)
    assert "GFLOP/s in matrix products" in printed
    record = json.loads((tmp_path / f"{question}.json").read_text())
    for rows in record["tables"].values():
        for row in rows:
            assert 0 < row["fastest"] <= row["seconds"] <= row["slowest"]
            assert row.get("peak_rss_gb", 1.0) > 0.1
    assert (tmp_path / f"{question}.png").stat().st_size > 1000


@pytest.mark.slow
def test_startup(tmp_path):
    assert "import primer_tf" in run("startup", tmp_path)
    assert all(json.loads((tmp_path / "startup.json").read_text()).values())


@pytest.mark.slow
def test_decoding_parts(tmp_path):
    assert "dot" in run("decoding_parts", tmp_path)
    (parts,) = json.loads((tmp_path / "decoding_parts.json").read_text()).values()
    assert sum(parts.values()) > 0


@pytest.mark.slow
def test_memory_parts(tmp_path):
    run("memory_parts", tmp_path)
    step, checkpointed, loss = json.loads((tmp_path / "memory_parts.json").read_text()).values()
    for row in (step, checkpointed):
        *parts, resident = row.values()
        assert sum(parts) == pytest.approx(resident, rel=0.05)
    assert 0 < loss["table"] < loss["beside it at the peak"]


@pytest.mark.slow
def test_engines(tmp_path):
    run("engines", tmp_path)
    rows = json.loads((tmp_path / "engines.json").read_text())["rows"]
    assert len(rows) == 2
    assert all(row["tokens_per_second"] > 0 for row in rows.values())
