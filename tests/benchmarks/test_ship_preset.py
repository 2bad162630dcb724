"""A finished run becomes a preset of the package, with a model card."""

import json
import re
import sys

import pytest

from benchmarks import english_text, ship_preset
from primer_tf.cli import main
from primer_tf.gin_config import trained_presets


@pytest.mark.slow
def test_a_run_becomes_a_preset(small_preset, text_file, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    command = ["train", "--preset", small_preset, "--data", text_file, "--output", run]
    assert main([*map(str, command), "--steps", "2", "--sequence_length", "8"]) == 0
    monkeypatch.setattr(trained_presets, "FOLDER", tmp_path / "trained")
    arguments = ["ship_preset", str(run), "tiny_test", "--text", "a test", "--licence", "none"]
    monkeypatch.setattr(sys, "argv", arguments)
    ship_preset.main()
    card = (tmp_path / "trained/tiny_test/README.md").read_text()
    capsys.readouterr()
    command = ["evaluate", "tiny_test", "--data", str(text_file), "--split", "validation"]
    assert main(command) == 0
    evaluated = re.search(r"bits per byte ([\d.]+)", capsys.readouterr().out)[1]
    assert f"{float(evaluated):.3f} bits per byte in validation" in card
    assert "primer train --preset" in card and "2 steps of 16 x 8 tokens" in card


def test_the_text_of_the_shipped_presets(tmp_path, monkeypatch):
    study = tmp_path / "sotu"
    study.mkdir()
    for name in ("train", "validation"):
        (tmp_path / f"{name}.txt").write_text(f"An address of {name}.\n")
    sources = {"data": "train.txt", "validation_data": "validation.txt"}
    monkeypatch.setattr(english_text, "read_study", lambda folder: Study(sources))
    monkeypatch.setattr(english_text, "resolve_source", lambda source: str(tmp_path / source))
    monkeypatch.setattr(sys, "argv", ["english_text", str(tmp_path)])
    english_text.main()
    for name in ("train", "validation"):
        lines = (tmp_path / f"{name}.jsonl").read_text().splitlines()
        texts = [json.loads(line)["text"] for line in lines]
        assert texts[-1].strip() == f"An address of {name}." and len(texts) > 1


class Study:
    def __init__(self, training):
        self.training = training
