"""Bad input through the command: one clear line, exit status 1, nothing lost."""

import json

import pytest
from sample_text import SENTENCES

from primer_tf.cli import main


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(SENTENCES * 40), encoding="utf-8")
    return path


def train(output, data, *extra):
    return main(
        ["train", "--preset", "tiny_primer_ez", "--data", str(data), "--output", str(output)]
        + ["--steps", "2", "--interval", "1", "--batch_size", "2", "--sequence_length", "8"]
        + ["--vocabulary_size", "300", *map(str, extra)]
    )


def check(capsys, status, *words):
    lines = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in lines if line.startswith("primer: error: ")]
    assert status == 1
    assert len(errors) == 1, lines
    for word in words:
        assert word in errors[0]


@pytest.mark.parametrize(
    "content, words",
    [
        (None, ["No such data file"]),
        (b"", ["No text in"]),
        (b"\xff\xfe\x00text", ["is not UTF-8 text", "byte 0"]),
    ],
)
def test_data_file(tmp_path, capsys, content, words):
    path = tmp_path / "data.txt"
    if content is not None:
        path.write_bytes(content)
    check(capsys, train(tmp_path / "out", path), str(path), *words)


def test_text_shorter_than_a_sequence(tmp_path, capsys, vocabulary_file):
    path = tmp_path / "data.txt"
    path.write_text("And God said.")
    status = train(tmp_path / "out", path, "--vocabulary", vocabulary_file)
    check(capsys, status, "too short", "sequence of 8")


def test_bad_json_line(tmp_path, capsys):
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps({"text": "In the beginning"}) + "\n{oops\n")
    check(capsys, train(tmp_path / "out", path), "line 2", "key 'text'")


def test_unknown_preset(tmp_path, capsys, text_file):
    status = train(tmp_path / "out", text_file, "--preset", "huge_primer")
    check(capsys, status, "Unknown preset 'huge_primer'", "small_primer_ez")


def test_sequence_length_beyond_the_preset(tmp_path, capsys, text_file):
    status = train(tmp_path / "out", text_file, "--sequence_length", 1024)
    check(capsys, status, "sequence_length 1024", "512 tokens")


def test_nothing_to_resume(tmp_path, capsys):
    check(capsys, main(["train", "--resume", "--output", str(tmp_path)]), "no run to resume")


def test_missing_vocabulary(tmp_path, capsys, text_file):
    status = train(tmp_path / "out", text_file, "--vocabulary", tmp_path / "none.model")
    check(capsys, status, "No such vocabulary")


def test_not_a_vocabulary(tmp_path, capsys, text_file):
    status = train(tmp_path / "out", text_file, "--vocabulary", text_file)
    check(capsys, status, "is not a SentencePiece model")


def test_output_below_a_file(tmp_path, capsys, text_file):
    check(capsys, train(text_file / "out", text_file), "check the path")


@pytest.mark.parametrize("command", ["evaluate", "generate", "export"])
def test_preset_directory_that_is_incomplete(tmp_path, capsys, command):
    (tmp_path / "preset").mkdir()
    rest = {
        "evaluate": ["--data", "demo"],
        "generate": ["--prompt", "And"],
        "export": [str(tmp_path / "serving")],
    }[command]
    status = main([command, str(tmp_path / "preset"), *rest])
    check(capsys, status, "is incomplete: it has no config.json")
    assert not (tmp_path / "serving").exists()
