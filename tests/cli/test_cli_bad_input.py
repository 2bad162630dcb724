"""Bad input through the command: one clear line, exit status 1, nothing lost."""

import json
import shutil

import pytest

from primer_tf.cli import main
from primer_tf.data.vocabulary import train_vocabulary
from tests.cli.tiny_runs import check, train

# Training text.


@pytest.mark.parametrize("command", ["train", "vocab"])
@pytest.mark.parametrize(
    "content, words",
    [
        (None, ["No such data file"]),
        (b"", ["No text in"]),
        (b" \n\t\n", ["No text in"]),
        (b"In the beginning \xff\xfe\x00", ["is not UTF-8 text", "byte 17"]),
    ],
)
def test_data_file(tmp_path, capsys, command, content, words):
    path = tmp_path / "data.txt"
    if content is not None:
        path.write_bytes(content)
    if command == "train":
        status = train(tmp_path / "out", path)
    else:
        status = main(["vocab", "--data", str(path), "--output", str(tmp_path / "out")])
    check(capsys, status, str(path), *words)
    assert not (tmp_path / "out").exists()


def test_evaluation_of_bad_text(tmp_path, capsys, small_preset):
    (tmp_path / "empty.txt").touch()
    for name, word in (("none.txt", "No such data file"), ("empty.txt", "No text in")):
        data = str(tmp_path / name)
        check(capsys, main(["evaluate", str(small_preset), "--data", data]), word, name)


def test_text_shorter_than_a_sequence(tmp_path, capsys, vocabulary_file):
    path = tmp_path / "data.txt"
    path.write_text("And")
    status = train(tmp_path / "out", path, "--vocabulary", vocabulary_file)
    check(capsys, status, "too short", "sequence of 8")


def test_text_too_short_for_a_vocabulary(tmp_path, capsys):
    path = tmp_path / "data.txt"
    path.write_text("And God said.")
    check(capsys, train(tmp_path / "out", path), "Cannot train a vocabulary of 300 pieces")


@pytest.mark.parametrize("line", ["{oops", '"text"', '{"txt": "And"}', '{"text": 5}'])
def test_bad_json_line(tmp_path, capsys, line):
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps({"text": "In the beginning"}) + f"\n{line}\n")
    check(capsys, train(tmp_path / "out", path), "line 2", "a string as 'text'")


@pytest.mark.parametrize("name, where", [("data.jsonl", "line 1"), ("data.json", "entry 1")])
def test_half_a_character_in_json(tmp_path, capsys, name, where):
    path = tmp_path / name
    line = '{"text": "In the \\ud800 beginning"}'
    path.write_text(line if name == "data.jsonl" else f"[{line}]")
    check(capsys, train(tmp_path / "out", path), name, where, "is half of a character")


def test_unknown_dataset(tmp_path, capsys):
    check(capsys, train(tmp_path / "out", "seqio:no_such_task"), "seqio:no_such_task")


# Arguments.


@pytest.mark.parametrize(
    "argument, value",
    [
        ("steps", 0),
        ("batch_size", 0),
        ("sequence_length", -1),
        ("interval", 0),
        ("warmup_steps", 0),
        ("vocabulary_size", 0),
        ("learning_rate_scale", "nan"),
        ("z_loss", -1),
        ("dropout", 1),
        ("seed", -1),
        ("seed", 2**32),
        ("dtype", "float3"),
    ],
)
def test_value_out_of_range(tmp_path, capsys, text_file, argument, value):
    status = train(tmp_path / "out", text_file, f"--{argument}", value)
    check(capsys, status, f"{argument} must be", f"received {value!r}".replace("'nan'", "nan"))
    assert not (tmp_path / "out").exists()


def test_batch_size_of_evaluation(capsys, small_preset, text_file):
    arguments = ["evaluate", str(small_preset), "--data", str(text_file), "--batch_size", "0"]
    check(capsys, main(arguments), "batch_size must be at least 1")


def test_a_batch_larger_than_the_text(capsys, small_preset, text_file):
    arguments = ["evaluate", str(small_preset), "--data", str(text_file), "--batch_size"]
    assert main([*arguments, str(2**31 - 1)]) == 0
    assert "bits per byte" in capsys.readouterr().out


def test_seed_of_generation(capsys, small_preset):
    for seed in ("-1", str(2**32)):
        status = main(["generate", str(small_preset), "--prompt", "And", "--seed", seed])
        check(capsys, status, "seed must be at least 0 and below 2**32", seed)


def test_missing_arguments(tmp_path, capsys):
    check(capsys, main(["train", "--output", str(tmp_path)]), "--preset and --data", "--resume")


def test_unknown_preset(tmp_path, capsys, text_file):
    status = train(tmp_path / "out", text_file, preset="huge_primer")
    check(capsys, status, "Unknown preset 'huge_primer'", "small_primer_ez")
    assert not (tmp_path / "out").exists()


def test_preset_without_weights(capsys):
    check(capsys, main(["generate", "tiny_primer_ez", "--prompt", "And"]), "no trained weights")


def test_sequence_length_beyond_the_preset(tmp_path, capsys, text_file, small_preset):
    for preset, limit in (("tiny_primer_ez", 512), (small_preset, 64)):
        status = train(tmp_path / "out", text_file, "--sequence_length", 1024, preset=preset)
        check(capsys, status, "sequence_length 1024", f"{limit} tokens")


@pytest.mark.parametrize("command", ["generate", "export"])
def test_length_and_sampler(tmp_path, capsys, small_preset, command):
    arguments = {
        "generate": ["generate", str(small_preset), "--prompt", "And"],
        "export": ["export", str(small_preset), str(tmp_path / "serving")],
    }[command]
    check(capsys, main([*arguments, "--sampler", "best"]), "Unknown sampler 'best'", "top_p")
    check(capsys, main([*arguments, "--max_length", "65"]), "max_length 65", "64")
    check(capsys, main([*arguments, "--max_length", "0"]), "max_length 0")
    assert not (tmp_path / "serving").exists()


def test_prompts(capsys, small_preset):
    for prompt in ("", " \n"):
        status = main(["generate", str(small_preset), "--prompt", "And", "--prompt", prompt])
        check(capsys, status, "--prompt is empty")
    arguments = ["generate", str(small_preset), "--prompt", "And", "--prompt", "And God said " * 9]
    check(capsys, main([*arguments, "--max_length", "32"]), "no room for new text", "32 tokens")
    check(capsys, main(arguments), "no room for new text", "16 tokens")


# Vocabularies.


def test_missing_vocabulary(tmp_path, capsys, text_file):
    status = train(tmp_path / "out", text_file, "--vocabulary", tmp_path / "none.model")
    check(capsys, status, "No such vocabulary")


@pytest.mark.parametrize("content", [b"And God said", 2 * b"\n\3\n\1\xff"])
def test_not_a_vocabulary(tmp_path, capsys, text_file, content):
    path = tmp_path / "vocabulary.model"
    path.write_bytes(content)
    status = train(tmp_path / "out", text_file, "--vocabulary", path)
    check(capsys, status, "is not a SentencePiece model")


def test_vocabulary_of_another_preset(tmp_path, capsys, text_file, small_preset):
    other = tmp_path / "other.model"
    other.write_bytes(train_vocabulary([text_file.read_text()], 290))
    status = train(tmp_path / "out", text_file, "--vocabulary", other, preset=small_preset)
    check(capsys, status, "other.model is not the vocabulary", "was trained with")


# Presets.


PRESET_FILES = [
    "config.json",
    "model.weights.h5",
    "tokenizer.json",
    "assets/tokenizer/vocabulary.spm",
]


@pytest.mark.parametrize("file", PRESET_FILES)
def test_preset_with_a_missing_or_damaged_file(tmp_path, capsys, small_preset, text_file, file):
    preset = shutil.copytree(small_preset, tmp_path / "preset")
    content = (preset / file).read_bytes()
    commands = [
        lambda: main(["generate", str(preset), "--prompt", "And"]),
        lambda: main(["evaluate", str(preset), "--data", str(text_file)]),
        lambda: main(["export", str(preset), str(tmp_path / "serving")]),
        lambda: train(tmp_path / "out", text_file, preset=preset),
    ]
    (preset / file).unlink()
    for command in commands:
        check(capsys, command(), "is incomplete", f"has no {file}")
    for damaged in (b"", content[: len(content) // 2]):
        (preset / file).write_bytes(damaged)
        if file != "tokenizer.json":  # its content is also in preprocessor.json
            check(capsys, commands[0](), str(preset))
        check(capsys, commands[-1](), str(preset))
    assert not (tmp_path / "serving").exists()
