"""Bad input through the command: one clear line, exit status 1, nothing lost."""

import contextlib
import json
import os
import re
import resource
import shutil
import subprocess

import pytest

from primer_tf.cli import main
from primer_tf.data.vocabulary import train_vocabulary


def train(output, data, *extra, preset="tiny_primer_ez"):
    return main(
        ["train", "--preset", str(preset), "--data", str(data), "--output", str(output)]
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


def files(folder):
    """The content of everything in a folder, by path; locks aside."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


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


def test_not_a_vocabulary(tmp_path, capsys, text_file):
    status = train(tmp_path / "out", text_file, "--vocabulary", text_file)
    check(capsys, status, "is not a SentencePiece model")


def test_vocabulary_of_another_preset(tmp_path, capsys, text_file, small_preset):
    other = tmp_path / "other.model"
    other.write_bytes(train_vocabulary([text_file.read_text()], 290))
    status = train(tmp_path / "out", text_file, "--vocabulary", other, preset=small_preset)
    check(capsys, status, "other.model is not the vocabulary", "was trained with")


# Runs.


@pytest.fixture(scope="module")
def finished(small_preset, text_file, tmp_path_factory):
    """A run that was finished in two steps."""
    output = tmp_path_factory.mktemp("runs") / "run"
    assert train(output, text_file, preset=small_preset) == 0
    return output


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(finished, tmp_path / "run")


def resume(output, *extra):
    return main(["train", "--resume", "--output", str(output), *map(str, extra)])


def test_nothing_to_resume(tmp_path, capsys):
    check(capsys, resume(tmp_path), "no run to resume", "without --resume")
    assert not os.listdir(tmp_path)


def test_a_run_is_not_overwritten(run, capsys, small_preset, text_file):
    before = files(run)
    check(capsys, train(run, text_file, preset=small_preset), "already holds a run", "--resume")
    assert files(run) == before


def test_a_run_is_not_resumed_as_another(run, capsys, tmp_path, text_file):
    text, vocabulary = tmp_path / "text.txt", tmp_path / "other.model"
    text.write_text(text_file.read_text() + " And God said.")
    vocabulary.write_bytes(train_vocabulary([text_file.read_text()], 290))
    before = files(run)
    for arguments, words in (
        (("--batch_size", 4), ["batch_size was 2, not 4"]),
        (("--preset", "tiny_primer"), ["preset was"]),
        (("--data", text), ["data was"]),
        (("--vocabulary", vocabulary), ["is not the vocabulary this run was started with"]),
    ):
        check(capsys, resume(run, *arguments), *words)
    assert files(run) == before


def test_changed_text_and_vocabulary_on_resume(run, capsys, tmp_path, text_file):
    text = tmp_path / "text.txt"
    text.write_text(text_file.read_text() + " And God said.")
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "data": str(text)}))
    check(capsys, resume(run), "the training text is not the one it was started with")
    (run / "run.json").write_text(json.dumps(record))
    (run / "vocabulary.model").write_bytes(train_vocabulary([text_file.read_text()], 290))
    check(capsys, resume(run), "its vocabulary.model is not the one it was started with")
    (run / "vocabulary.model").unlink()
    check(capsys, resume(run), "No such vocabulary")


@pytest.mark.parametrize("content", ["{", "[]", '{"preset": "tiny_primer_ez"}'])
def test_damaged_record(run, capsys, content):
    (run / "run.json").write_text(content)
    check(capsys, resume(run), "run.json is damaged")


def test_no_checkpoint_that_can_be_read(run, capsys):
    for path in run.glob("checkpoints/*/variables.npz"):
        path.write_bytes(path.read_bytes()[:-1000])
    status = resume(run)
    printed = capsys.readouterr()
    assert len(re.findall("is corrupt", printed.out)) == 2
    assert status == 1 and "No checkpoint in" in printed.err


# Files and folders that cannot be written or read.


@pytest.mark.parametrize("command", ["train", "vocab", "export", "demo"])
@pytest.mark.parametrize("place", ["below a file", "read-only"])
def test_unwritable_output(tmp_path, capsys, text_file, small_preset, command, place):
    # No user, not even root, may write the second one.
    output = str(tmp_path / "file" / "out") if place == "below a file" else "/proc/primer"
    (tmp_path / "file").write_text("kept")
    status = {
        "train": lambda: train(output, text_file, preset=small_preset),
        "vocab": lambda: main(
            ["vocab", "--data", str(text_file), "--size", "300", "--output", output]
        ),
        "export": lambda: main(["export", str(small_preset), output, "--max_length", "8"]),
        "demo": lambda: main(["demo", "--output", output, "--steps", "1"]),
    }[command]()
    check(capsys, status, "check the path, its permissions and the free space")
    assert (tmp_path / "file").read_text() == "kept"


class FullDisk:
    """A folder in which no more than a few kilobytes can be written.

    A small file system, where this process may mount one; else a limit on the size of its files.
    """

    def __init__(self, folder):
        self.folder = folder
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
        self.mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0

    @contextlib.contextmanager
    def full(self, room=24 * 1024):
        """Leaves so many bytes of room."""
        if self.mounted:
            filler = self.folder / "filler"
            filler.write_bytes(bytes(shutil.disk_usage(self.folder).free - room))
            yield
            filler.unlink()
        else:
            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (room // 3, limits[1]))
            yield
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    def close(self):
        if self.mounted:
            subprocess.run(["umount", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path):
    disk = FullDisk(tmp_path)
    yield disk
    disk.close()


def test_full_disk_in_training(disk, finished, capsys):
    run = shutil.copytree(finished, disk.folder / "run")
    before = files(run)
    with disk.full():
        status = resume(run, "--steps", 3)
        check(capsys, status, "check the path, its permissions and the free space")
    after = files(run)
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed <= {"run.json", "history.csv"}
    assert {name for name in after.keys() - before.keys() if "tensorboard" not in name} == set()
    assert json.loads(after["run.json"])["steps"] == 3


def test_no_room_for_the_preset(run, capsys, monkeypatch):
    before = files(run / "preset")
    usage = shutil.disk_usage(run)._replace(free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    check(capsys, resume(run), "No space left on device", str(run))
    assert files(run / "preset") == before


@pytest.mark.parametrize("command", ["vocab", "export"])
def test_full_disk(disk, text_file, small_preset, capsys, command):
    arguments = {
        "vocab": ["vocab", "--data", str(text_file), "--size", "300", "--output"],
        "export": ["export", "--max_length", "8", str(small_preset)],
    }[command]
    with disk.full(room=12 * 1024 if command == "export" else 0):
        status = main([*arguments, str(disk.folder / "out")])
        check(capsys, status, "check the path, its permissions and the free space")
    assert not any(path.is_file() for path in disk.folder.rglob("*"))


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
