"""What lies where a command is to write, or keeps it from writing: one clear line, nothing lost."""

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
from tests.cli.tiny_runs import check, files, resume, train

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


@pytest.mark.parametrize("output", ["", ".", "folder"])
def test_output_that_is_no_file(tmp_path, capsys, monkeypatch, text_file, output):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    status = main(["vocab", "--data", str(text_file), "--size", "300", "--output", output])
    check(capsys, status, "check the path")
    assert os.listdir(tmp_path) == ["folder"]


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
        "export": ["export", "--ids", "--max_length", "8", str(small_preset)],
    }[command]
    with disk.full(room=12 * 1024 if command == "export" else 0):
        status = main([*arguments, str(disk.folder / "out")])
        check(capsys, status, "check the path, its permissions and the free space")
    assert not any(path.is_file() for path in disk.folder.rglob("*"))
