"""Training on a prepared folder equals training on its text."""

import csv
import json

import numpy as np
import pytest

from primer_tf.cli import main
from primer_tf.data.load_chunks import load_chunks
from primer_tf.data.prepared_data import PreparedData
from primer_tf.models import PrimerTokenizer
from tests.cli.tiny_runs import check


@pytest.fixture(scope="module")
def tokens(text_file, vocabulary_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "tokens"
    arguments = ["--vocabulary", str(vocabulary_file), "--workers", "1", "--output", str(folder)]
    assert main(["prepare", "--data", str(text_file), *arguments]) == 0
    return folder


def train(preset, data, output, *extra):
    arguments = ["--preset", str(preset), "--data", str(data), "--output", str(output)]
    arguments += ["--batch_size", "4", "--sequence_length", "16", "--interval", "2"]
    return main(["train", *arguments, "--steps", "4", *map(str, extra)])


def test_a_run_and_its_evaluation(small_preset, tokens, tmp_path, capsys):
    assert train(small_preset, tokens, tmp_path / "run") == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    prepared = PreparedData(tokens)
    assert record["vocabulary_sha256"] == prepared.index.vocabulary_sha256
    assert record["tokens_sha256"] == prepared.shards("train").sha256
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run" / "preset"), "--data", str(tokens)]) == 0
    assert "the validation split" in (printed := capsys.readouterr().out)
    with open(tmp_path / "run" / "history.csv", newline="") as file:
        *_, last = csv.DictReader(file)
    assert f"loss {float(last['validation_loss']):.4f}" in printed


@pytest.mark.slow
def test_a_run_equals_one_on_the_text_and_goes_on(small_preset, tokens, text_file, tmp_path):
    histories = []
    for name, data in (("text", text_file), ("tokens", tokens)):
        assert train(small_preset, data, tmp_path / name) == 0
        assert main(["train", "--resume", "--output", str(tmp_path / name), "--steps", "6"]) == 0
        with open(tmp_path / name / "history.csv", newline="") as file:
            histories.append([list(row.values())[:-1] for row in csv.DictReader(file)])
    assert histories[0] == histories[1] and len(histories[0]) == 3


def test_another_text_for_validation(tokens, text_file, vocabulary):
    tokenizer = PrimerTokenizer(vocabulary)
    found, length = load_chunks(str(tokens), "validation", tokenizer, 16, str(text_file))
    expected, expected_length = load_chunks(str(text_file), "all", tokenizer, 16)
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    assert length == expected_length
    found, _ = load_chunks(str(text_file), "validation", tokenizer, 16, str(tokens))
    expected, _ = load_chunks(str(tokens), "validation", tokenizer, 16)
    np.testing.assert_array_equal(found.tokens[:], expected.tokens[:])


def test_the_vocabulary_of_a_preset(tokens, text_file, tmp_path, small_preset, capsys):
    """A preset with another vocabulary is refused."""
    arguments = ["--vocabulary_size", "290", "--workers", "1", "--output", str(tmp_path / "other")]
    assert main(["prepare", "--data", str(text_file), *arguments]) == 0
    capsys.readouterr()
    status = train(small_preset, tmp_path / "other", tmp_path / "out")
    check(capsys, status, "the model's vocabulary is not the vocabulary that", "other")
