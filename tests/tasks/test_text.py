"""Which files a source of text names, and in which order."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from primer_tf.cli import build_parser
from primer_tf.errors import UserError
from primer_tf.tasks.text import TextSource
from primer_tf.tasks.text_files import find_files


@pytest.fixture(autouse=True)
def corpus(tmp_path, monkeypatch):
    """A working directory with a folder of texts and much else."""
    texts = ["a.txt", "b.JSONL", "deep/er/c.txt", "deep/d.Txt"]
    others = ["e.json", "f.md", "g.txt.gz", ".h.txt", ".git/i.txt", "deep/.j/k.txt", "txt"]
    for name in texts + others:
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"text": "x"}' if "json" in name.lower() else name)
    (tmp_path / "empty/folder").mkdir(parents=True)
    (tmp_path / "one,two.txt").write_text("comma")
    monkeypatch.chdir(tmp_path)


SUFFIXES = ".txt, .jsonl, .jsonl.gz or .parquet"
IN_CORPUS = [f"corpus/{name}" for name in ("a.txt", "b.JSONL", "deep/d.Txt", "deep/er/c.txt")]


def names(source):
    return list(map(str, find_files(source)))


def test_a_folder_stands_for_its_texts_at_any_depth(tmp_path):
    assert names("corpus") == names("corpus/") == IN_CORPUS
    assert names(str(tmp_path / "corpus")) == [str(tmp_path / name) for name in IN_CORPUS]
    documents = TextSource("corpus", "corpus/a.txt").documents
    assert list(documents("train")) == ["a.txt", "x", "deep/d.Txt", "deep/er/c.txt"]
    assert list(documents("validation")) == ["a.txt"]


def test_a_folder_inside_itself():
    os.symlink("..", "corpus/deep/up")
    assert names("corpus") == IN_CORPUS


@pytest.mark.parametrize(
    "words, expected",
    [
        ("corpus", IN_CORPUS),
        ("corpus/*.txt", ["corpus/a.txt"]),
        ("corpus/deep/*", ["corpus/deep/d.Txt", "corpus/deep/er/c.txt"]),
        ("corpus/a.txt corpus/deep/d.Txt", ["corpus/a.txt", "corpus/deep/d.Txt"]),
        ("corpus/f.md corpus", ["corpus/f.md", *IN_CORPUS]),
        ("corpus/*.txt corpus corpus/a.txt one*", [*IN_CORPUS, "one,two.txt"]),
        ("one,two.txt corpus/a.txt", ["one,two.txt", "corpus/a.txt"]),
    ],
)
@pytest.mark.parametrize("quoted", [True, False])
def test_words_of_the_command_line(words, expected, quoted):
    """A glob names the same files whether the shell or we expand it."""
    if not quoted:
        words = subprocess.run(
            ["bash", "-c", f"echo {words}"], capture_output=True, text=True, check=True
        ).stdout
    arguments = ["train", "--output", "out", "--data", *words.split(), "--steps", "3"]
    assert names(build_parser().parse_args(arguments).data) == expected


def test_several_words_reach_every_command():
    for start in (["train", "--output", "o"], ["vocab", "--output", "o"], ["evaluate", "preset"]):
        arguments = build_parser().parse_args([*start, "--data", "a b.txt", "c.txt"])
        assert arguments.data == "a b.txt,c.txt"
    arguments = ["train", "--output", "o", "--validation_data", "a", "b"]
    assert build_parser().parse_args(arguments).validation_data == "a,b"


def test_brackets_in_a_name_are_no_glob():
    Path("[a]").mkdir()
    shutil.copy("corpus/a.txt", "[a]/[b].txt")
    assert names("[a]") == names("[a]/[b].txt") == ["[a]/[b].txt"]


@pytest.mark.parametrize(
    "source, message",
    [
        ("none.txt", "No such data file: none.txt."),
        ("corpus,none", "No such data file: none."),
        ("corpus/*.pdf", "No data file matches corpus/*.pdf."),
        ("empty", f"There are no {SUFFIXES} files in the folder empty."),
        ("corpus,empty/folder", f"There are no {SUFFIXES} files in the folder empty/folder."),
        ("", "No such data file: ''."),
        ("corpus,", "No such data file: ''."),
    ],
)
def test_what_names_no_text(source, message):
    with pytest.raises(UserError) as error:
        find_files(source)
    assert str(error.value) == message


def test_thousands_of_empty_files_are_one_short_line():
    Path("many").mkdir()
    for number in range(300):
        Path(f"many/{number}.txt").touch()
    with pytest.raises(UserError, match="every file is empty") as error:
        TextSource(",".join(names("many"))).characters("train")
    assert len(str(error.value)) < 300
