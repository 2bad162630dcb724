"""`primer prepare`: the shards, whatever interrupts it, and what is wrong with a folder."""

import errno
import json
import multiprocessing
import os
import random
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from primer_tf.cli import main
from primer_tf.data import shard_writer as module
from primer_tf.data.load_chunks import load_chunks
from primer_tf.data.prepare import prepare
from primer_tf.data.prepared_data import PreparedData
from primer_tf.data.text_length import TextLength
from primer_tf.errors import UserError
from primer_tf.models import PrimerTokenizer
from primer_tf.tasks.text import TextSource
from tests.cli.tiny_runs import check, files
from tests.fault_injection import kill_at, killed_worker
from tests.sample_text import SENTENCES

SHARD = 2000  # characters: some ten shards


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder with short documents and a long one."""
    folder = tmp_path_factory.mktemp("corpus")
    lines = [json.dumps({"text": f"{n}. {text}"}) for n, text in enumerate(SENTENCES * 60)]
    (folder / "a.jsonl").write_text("\n".join(lines))
    (folder / "b.txt").write_text("\n".join(SENTENCES * 10))
    return str(folder)


def prepare_shards(corpus, output, vocabulary_file, **arguments):
    return prepare(TextSource(corpus), output, vocabulary_file, shard_characters=SHARD, **arguments)


@pytest.fixture(scope="module")
def whole(corpus, vocabulary_file, tmp_path_factory):
    """A prepared folder, which tests do not change."""
    folder = tmp_path_factory.mktemp("whole") / "tokens"
    prepare_shards(corpus, folder, vocabulary_file)
    return folder


@pytest.fixture
def prepared(whole, tmp_path):
    """A prepared folder to change."""
    return shutil.copytree(whole, tmp_path / "tokens")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_shards_hold_the_documents(corpus, whole, vocabulary, split):
    encode = sentencepiece.SentencePieceProcessor(model_proto=vocabulary).encode
    documents = list(TextSource(corpus).documents(split))
    rows = [[*encode(document), 1] for document in documents]
    shards = PreparedData(whole).shards(split)
    assert shards[:].tolist() == sum(rows, [])
    words = sum(len(document.split()) for document in documents)
    assert shards.text == TextLength(len("".join(documents).encode()), words)
    # The bounds of documents that the shards keep.
    ends, start = [], 0
    for folder, record in zip(shards.folders, shards.records, strict=True):
        found = np.load(folder / "arrays.npz")["document_ends"]
        assert len(found) == record.documents
        ends.extend(start + found)
        start += record.tokens
    assert ends == np.cumsum([len(row) for row in rows]).tolist()
    assert len(shards.records) > (5 if split == "train" else 0)


def test_chunks_equal_those_of_the_text(corpus, whole, vocabulary):
    tokenizer = PrimerTokenizer(vocabulary)
    for split in ("train", "validation"):
        expected, length = load_chunks(corpus, split, tokenizer, 16)
        found, found_length = load_chunks(str(whole), split, tokenizer, 16)
        np.testing.assert_array_equal(found.tokens[:], expected.tokens)
        assert found_length == length


def test_the_number_of_workers_changes_nothing(corpus, whole, vocabulary_file, tmp_path):
    prepare_shards(corpus, tmp_path / "two", vocabulary_file, workers=2)
    assert files(tmp_path / "two") == files(whole)


def test_other_processes_write_parts(corpus, whole, vocabulary_file, tmp_path):
    def write_elsewhere(writer):
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            pool.starmap(writer.write, [(1, int, part, 3) for part in range(3)])
        ours.extend(path.name for path in writer.output.rglob("shard.json"))

    ours = []
    output = tmp_path / "parts"
    prepare_shards(corpus, output, vocabulary_file, write_elsewhere=write_elsewhere)
    assert files(output) == files(whole)
    assert len(ours) == len(list(whole.rglob("shard.json"))), "the parts left shards out"


def test_beam_is_not_installed(corpus, tmp_path, monkeypatch, capsys):
    """Where it is: `make beam-check`."""
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    command = ["prepare", "--data", corpus, "--output", str(tmp_path / "tokens"), "--beam", ""]
    check(capsys, main(command), "Apache Beam is not installed", "environment")


def test_a_trained_vocabulary_and_the_command(corpus, tmp_path, capsys):
    arguments = ["prepare", "--data", corpus, "--output", str(tmp_path / "tokens")]
    arguments += ["--workers", "1", "--vocabulary_size", "330"]
    for _ in range(2):  # the second time, everything is there
        assert main(arguments) == 0
        printed = capsys.readouterr().out
        assert "train: " in printed and "validation: " in printed and "shards: 1" in printed
    own = str(tmp_path / "own.model")
    assert main(["vocab", "--data", corpus, "--output", own, "--size", "330"]) == 0
    assert Path(own).read_bytes() == (tmp_path / "tokens" / "vocabulary.model").read_bytes()
    capsys.readouterr()
    check(capsys, main([*arguments[:-1], "340"]), "340 pieces is not what", "was started with")


# Interruptions.


def kill_and_prepare(moment, *arguments):
    kill_at(*moment)
    prepare_shards(*arguments)


MOMENTS = [
    ("os.rename", "vocabulary.model"),
    ("os.rename", "token_shards.json"),
    ("os.mkdir", "00000"),
    ("open", "arrays.npz"),
    ("open", "shard.json", 3),
    ("os.rename", "00003"),
    ("os.rename", "00000", 2),
    ("os.rename", "token_shards.json", 2),
]


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.data.test_prepare"])
    return context


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: "-".join(map(str, moment)))
def test_killed_at(moment, corpus, whole, vocabulary_file, processes, tmp_path):
    arguments = (corpus, tmp_path / "tokens", vocabulary_file)
    process = processes.Process(target=kill_and_prepare, args=(moment, *arguments))
    process.start()
    process.join()
    assert process.exitcode == -9
    assert files(tmp_path / "tokens") != files(whole)
    prepare_shards(*arguments)
    assert files(tmp_path / "tokens") == files(whole)


def slow_prepare(*arguments):
    """Prepares with two workers, and takes a while for each shard."""
    write = module.write_shard
    module.write_shard = lambda *given: (threading.Event().wait(0.2), write(*given))[1]
    prepare_shards(*arguments, workers=2)


@pytest.mark.slow
def test_killed_again_and_again(corpus, whole, vocabulary_file, processes, tmp_path):
    """SIGKILL after random times; the workers end as well."""
    arguments = (corpus, tmp_path / "tokens", vocabulary_file)
    draw, kills = random.Random(0), 0
    while True:
        process = processes.Process(target=slow_prepare, args=arguments)
        process.start()
        killer = threading.Timer(draw.uniform(0.3, 1.5), process.kill)
        killer.start()
        process.join()
        killer.cancel()
        assert process.exitcode in (0, -9)
        if process.exitcode == 0:
            break
        kills += 1
    assert kills >= 2
    assert files(tmp_path / "tokens") == files(whole)


def test_a_full_disk(corpus, whole, vocabulary_file, tmp_path, monkeypatch, capsys):
    """What is written stays, and the next call goes on."""
    write, written = Path.write_bytes, []

    def full(path, content):
        if path.name == "tokens.bin":
            written.append(path)
            if len(written) == 3:
                write(path, content[: len(content) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    output = tmp_path / "tokens"
    arguments = ["prepare", "--data", corpus, "--output", str(output), "--workers", "1"]
    monkeypatch.setattr(
        prepare, "__kwdefaults__", {**prepare.__kwdefaults__, "shard_characters": SHARD}
    )
    status = main([*arguments, "--vocabulary", str(vocabulary_file), "--vocabulary_size", "300"])
    check(capsys, status, "No space left on device")
    assert sorted(path.name for path in (output / "train").iterdir()) == ["00000", "00001"]
    status = main(["train", "--preset", "tiny_primer", "--data", str(output), "--output", "none"])
    check(capsys, status, "is not completely prepared; `primer prepare` with the same options")
    prepare_shards(corpus, output, vocabulary_file)
    assert files(output) == files(whole)


# Bad input.


def remove(path):
    path.unlink()


def shorten(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = [
    ("tokens.bin", remove, "is missing"),
    ("tokens.bin", shorten, "is damaged"),
    ("tokens.bin", flip, "is damaged at token"),
    ("arrays.npz", remove, "is damaged"),
    ("arrays.npz", shorten, "is damaged"),
]


@pytest.mark.parametrize("name, damage, message", DAMAGES)
def test_a_damaged_shard(corpus, whole, prepared, vocabulary_file, name, damage, message):
    """Reading it is an error, and preparing again writes it again."""
    damage(prepared / "train" / "00002" / name)
    with pytest.raises(UserError, match=rf"00002 {message}.*; `primer prepare` with the same"):
        PreparedData(prepared).shards("train")[:]
    prepare_shards(corpus, prepared, vocabulary_file)
    assert files(prepared) == files(whole)


def test_another_vocabulary(corpus, prepared, vocabulary_file, tmp_path, capsys):
    other = tmp_path / "other.model"
    command = ["vocab", "--data", corpus, "--size", "330", "--output", str(other)]
    assert main(command) == 0
    with pytest.raises(UserError, match="other.model is not what .* was started with"):
        prepare_shards(corpus, prepared, other)
    arguments = ["train", "--preset", "tiny_primer", "--data", str(prepared), "--output"]
    status = main([*arguments, str(tmp_path / "out"), "--vocabulary", str(other)])
    check(capsys, status, "other.model is not the vocabulary that", "was prepared with")
    shutil.copy(other, prepared / "vocabulary.model")
    with pytest.raises(UserError, match="vocabulary.model is not the vocabulary that"):
        PreparedData(prepared)


def test_another_text(corpus, prepared, vocabulary_file, tmp_path):
    changed = shutil.copytree(corpus, tmp_path / "changed")
    lines = (changed / "a.jsonl").read_text().splitlines()
    lines[5] = json.dumps({"text": "And God said."})
    (changed / "a.jsonl").write_text("\n".join(lines))
    before = files(prepared)
    with pytest.raises(UserError, match="00000 was prepared from another text"):
        prepare_shards(str(changed), prepared, vocabulary_file)
    with pytest.raises(UserError, match="with another packing"):
        prepare_shards(f"lm:{corpus}", prepared, vocabulary_file)
    assert files(prepared) == before


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda text: text.replace('"version": 1', '"version": 2'), "has version 2, and this"),
        (lambda text: text[:-9], "token_shards.json is damaged"),
        (lambda text: text.replace('"tokens":', '"token":'), "token_shards.json is damaged"),
        (lambda text: "[]", "token_shards.json is damaged"),
    ],
)
def test_a_bad_index(prepared, change, message, capsys):
    index = prepared / "token_shards.json"
    index.write_text(change(index.read_text()))
    status = main(["train", "--preset", "tiny_primer", "--data", str(prepared), "--output", "no"])
    check(capsys, status, message)


@pytest.mark.parametrize(
    "content, message",
    [(b"", "No text in"), (b"God \xff", "data.txt is not UTF-8 text: byte 4 cannot be decoded")],
)
def test_bad_text(tmp_path, capsys, content, message):
    path = tmp_path / "data.txt"
    path.write_bytes(content)
    status = main(["prepare", "--data", str(path), "--output", str(tmp_path / "tokens")])
    check(capsys, status, message)
    assert not (tmp_path / "tokens").exists()


def test_what_cannot_be_prepared(prepared, tmp_path, capsys, vocabulary_file):
    output = ["--output", str(tmp_path / "out")]
    status = main(["prepare", "--data", "none.txt", *output])
    check(capsys, status, "No such data file: none.txt")
    status = main(["prepare", "--data", str(vocabulary_file), *output, "--workers", "0"])
    check(capsys, status, "workers must be at least 1")
    status = main(["train", "--preset", "tiny_primer", "--data", f"lm:{prepared}", *output])
    check(capsys, status, "leave lm: out")


def test_a_worker_that_is_killed():
    from primer_tf.data.ordered_map import ordered_map

    with pytest.raises(UserError, match="A worker process has ended"):
        list(ordered_map(killed_worker, [(1, 2)], workers=2))
