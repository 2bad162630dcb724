"""Sources as streams: the documents, in pieces, and what is held out of them."""

import gzip
import json
import sys
from pathlib import Path

import pytest

from primer_tf.errors import UserError
from primer_tf.tasks import text_files
from primer_tf.tasks.text import TextSource
from primer_tf.tasks.text_files import TextFiles, cut, read_file
from tests.sample_text import SENTENCES

TEXT = " ".join(SENTENCES)


@pytest.fixture
def short_pieces(monkeypatch):
    monkeypatch.setattr(text_files, "PIECE", 50)


@pytest.mark.parametrize("text", [TEXT, "漢字" * 100, "one" + " " * 200 + "two", "a\n" * 99, ""])
def test_pieces_do_not_depend_on_how_a_document_is_read(short_pieces, text):
    whole = list(cut([text]))
    assert "".join(piece.text for piece in whole) == text
    for size in (1, 7, 49, 50, 51, 1000):
        assert list(cut(text[i : i + size] for i in range(0, len(text), size))) == whole
    assert all(len(piece.text) <= 50 for piece in whole)
    assert [piece.first for piece in whole] == [True] + [False] * (len(whole) - 1)
    assert [piece.last for piece in whole] == [False] * (len(whole) - 1) + [True]


def test_pieces_start_at_words(short_pieces):
    first, *rest = cut([TEXT])
    assert len(rest) == 5
    for before, piece in zip([first, *rest], rest, strict=False):
        assert piece.text[0] == " " and piece.text[1].isalnum() and before.text[-1].isalnum()


def expected_documents(documents, split):
    """Holds out as described: the last 5% of all characters; a document may be cut in two."""
    joined = "".join(documents)
    keep = len(joined) - max(1, len(joined) // 20)
    found, start = [], 0
    for document in documents:
        characters = list(enumerate(document, start=start))
        kept = [c for i, c in characters if (i < keep) == (split == "train")]
        if kept:
            found.append("".join(kept))
        start += len(document)
    return found


@pytest.mark.parametrize("size", [1, 7, 100, 150, 1000])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_last_part_is_held_out(short_pieces, tmp_path, size, split):
    documents = [(TEXT * 3)[i : i + size].strip() or "x" for i in range(0, 400, size)]
    for number, document in enumerate(documents):
        (tmp_path / f"{number:03}.txt").write_text(document)
    source = TextSource(str(tmp_path))
    assert list(source.documents(split)) == expected_documents(documents, split)
    assert source.characters(split) == sum(map(len, source.documents(split)))
    assert list(source.documents("all")) == documents
    pieces = list(source.pieces(split))
    ends = [True, *(piece.last for piece in pieces)]
    assert [piece.first for piece in pieces] == ends[:-1] and ends[-1]


def test_files_of_one_split_are_not_read_for_the_other(tmp_path, monkeypatch):
    for number in range(40):
        (tmp_path / f"{number:02}.txt").write_text(TEXT)
    source = TextSource(str(tmp_path))
    source.characters("train")
    opened = []
    read = text_files.read_file
    monkeypatch.setattr(
        text_files, "read_file", lambda path: opened.append(path.name) or read(path)
    )
    list(source.documents("validation"))
    assert opened == ["38.txt", "39.txt"]


def test_little_is_held_out_of_a_large_text(tmp_path, monkeypatch):
    monkeypatch.setattr("primer_tf.tasks.text.MOST_HELD_OUT", 10)
    (tmp_path / "a.txt").write_text("0123456789" * 100)
    assert list(TextSource(str(tmp_path)).documents("validation")) == ["0123456789"]


LINES = "".join(json.dumps({"text": sentence}) + "\n" for sentence in [*SENTENCES, " \n"])


def parquet(path, columns):
    pytest.importorskip("pyarrow")
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=2)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.JSONL.gz", "a.parquet", "b.json"])
def test_kinds_of_files(tmp_path, name):
    path = tmp_path / name
    if name.endswith("gz"):
        path.write_bytes(gzip.compress(LINES.encode()))
    elif name.endswith("parquet"):
        parquet(path, {"id": range(len(SENTENCES) + 1), "text": [*SENTENCES, None]})
    elif name == "b.json":
        path.write_text(json.dumps([{"text": sentence} for sentence in SENTENCES]))
    else:
        path.write_text(LINES)
    assert list(TextSource(str(path)).documents("all")) == SENTENCES
    if name not in ("a.json", "b.json"):
        assert TextFiles(str(tmp_path)).paths == [path]


def test_line_ends_and_byte_order_marks(tmp_path, short_pieces):
    for content in (b"one\r\ntwo\rthree\n" * 20, b"\xef\xbb\xbf" + b"one\ntwo\nthree\n" * 20):
        (tmp_path / "a.txt").write_bytes(content)
        (document,) = TextSource(str(tmp_path / "a.txt")).documents("all")
        assert document == "one\ntwo\nthree\n" * 20


@pytest.mark.parametrize("size", [0, 1, 2**20 - 2, 2**20 - 1, 2**20, 3 * 2**20])
@pytest.mark.parametrize("end", [b"\xff", b"\xe6\xbc", b"\xe6\xbcx"])
def test_the_first_bad_byte(tmp_path, size, end):
    path = tmp_path / "a.txt"
    path.write_bytes(b"a" * size + end)
    with pytest.raises(UserError, match=f"a.txt is not UTF-8 text: byte {size} cannot"):
        list(read_file(path))


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.jsonl.gz", gzip.compress(LINES.encode())[:-20], "is damaged, or no gzip file"),
        ("a.txt.gz", b"In the beginning", "is damaged, or no gzip file"),
        ("a.jsonl", LINES.encode() + b"{", "line 6, is not a JSON object"),
        ("a.parquet", b"PAR1", "Cannot read .*a.parquet"),
    ],
)
def test_damaged_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        TextSource(str(tmp_path / name)).characters("train")
    assert "\n" not in str(error.value)


def test_parquet_without_text(tmp_path):
    parquet(tmp_path / "a.parquet", {"text": [1, 2]})
    with pytest.raises(UserError, match="has no column 'text' of strings"):
        TextSource(str(tmp_path / "a.parquet")).characters("train")


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    Path(tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"needs pyarrow; run `pip install .*\[parquet\]"):
        TextSource(str(tmp_path / "a.parquet")).characters("train")
