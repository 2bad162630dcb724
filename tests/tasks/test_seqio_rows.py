"""Rows of T5's `lm` objective equal documents that the test tokenizes, joins and cuts itself."""

import hashlib
import itertools
import json

import numpy as np
import pytest

from primer_tf.data import TokenChunks
from primer_tf.data.document_tokenizer import DocumentTokenizer
from primer_tf.data.lm_rows import LmRows
from primer_tf.data.load_chunks import load_chunks
from primer_tf.data.prepare import prepare
from primer_tf.data.vocabulary import train_vocabulary
from primer_tf.errors import UserError
from primer_tf.models import PrimerTokenizer
from primer_tf.tasks import kjv
from primer_tf.tasks.text import TextSource
from primer_tf.tasks.text_files import Piece
from tests.sample_text import SENTENCES

LENGTH = 16
DEMO = "demo_autoregressive_language_modeling"


@pytest.fixture(scope="module")
def another_vocabulary():
    return train_vocabulary(SENTENCES * 4, size=290)


@pytest.fixture
def registry(monkeypatch):
    """The module `seqio`, whose registries are restored after the test."""
    import seqio

    import primer_tf.tasks.seqio_tasks  # noqa: F401

    for kind in (seqio.TaskRegistry, seqio.MixtureRegistry):
        monkeypatch.setattr(kind, "_REGISTRY", dict(kind._REGISTRY))
    return seqio


def expected(documents, vocabulary):
    """Returns the ids of all chunks in one row, with zeros after an incomplete last chunk."""
    import sentencepiece

    encode = sentencepiece.SentencePieceProcessor(model_proto=vocabulary).encode
    joined = sum(map(encode, documents), [])
    rows = [[*joined[i : i + LENGTH - 1], 1] for i in range(0, len(joined), LENGTH - 1)]
    rows[-1] += [0] * (LENGTH - len(rows[-1]))
    return np.concatenate(rows)


def row_set(tokens):
    return {tuple(row) for row in tokens.reshape(-1, LENGTH)}


def chunks(source, split, vocabulary):
    return load_chunks(source, split, PrimerTokenizer(vocabulary), LENGTH)[0].tokens


def test_each_vocabulary_gives_its_own_rows(monkeypatch, vocabulary, another_vocabulary, text_file):
    import gin

    # Short books, because T5 takes a random chunk of long ones.
    monkeypatch.setattr(kjv, "split", lambda name: [(name, text) for text in SENTENCES])
    before = gin.config_str()
    for source in (f"seqio:{DEMO}", f"lm:{text_file}", "lm:demo"):
        documents = list(TextSource(source).documents("validation"))
        for model in (vocabulary, another_vocabulary, vocabulary):
            np.testing.assert_array_equal(
                chunks(source, "validation", model), expected(documents, model)
            )
    assert gin.config_str() == before


def test_a_configured_vocabulary_follows_gin(tmp_path, vocabulary, another_vocabulary):
    import gin

    from primer_tf.tasks.vocabulary import ConfiguredVocabulary

    configured, unused = ConfiguredVocabulary(), ConfiguredVocabulary()
    for name, model, pieces in (("a", vocabulary, 300), ("b", another_vocabulary, 290)):
        (tmp_path / name).write_bytes(model)
        with gin.unlock_config():
            gin.bind_parameter("primer_tf.tasks.sentencepiece_model.path", str(tmp_path / name))
        try:
            assert configured.vocab_size == pieces + 100
            assert configured == unused  # Mixtures require this of their tasks.
        finally:
            gin.clear_config()


def test_tasks_with_a_vocabulary_of_their_own(
    tmp_path, registry, vocabulary_file, vocabulary, another_vocabulary
):
    from primer_tf.tasks.seqio_tasks import documents_source, lm_task

    def add(name, own):
        source = documents_source(lambda split: SENTENCES)
        registry.TaskRegistry.add_provider(name, lm_task(name, source, vocabulary=own))

    for extra_ids in (0, 100):
        name = f"own_{extra_ids}"
        add(name, registry.SentencePieceVocabulary(str(vocabulary_file), extra_ids))
        found = chunks(f"seqio:{name}", "train", vocabulary)
        np.testing.assert_array_equal(found, expected(SENTENCES, vocabulary))
        with pytest.raises(UserError, match=f"seqio:{name} has a vocabulary of its own"):
            load_chunks(f"seqio:{name}", "train", PrimerTokenizer(another_vocabulary), LENGTH)
    add("of_bytes", registry.ByteVocabulary())
    with pytest.raises(UserError, match="seqio:of_bytes has a vocabulary of its own"):
        load_chunks("seqio:of_bytes", "train", PrimerTokenizer(vocabulary), LENGTH)


def test_mixtures(registry, vocabulary, another_vocabulary):
    from primer_tf.tasks.seqio_tasks import documents_source, lm_task

    texts = {"first": SENTENCES[:2], "second": SENTENCES[2:]}
    for name, documents in texts.items():
        source = documents_source(lambda split, documents=documents: documents)
        registry.TaskRegistry.add_provider(name, lm_task(name, source))
    registry.MixtureRegistry.add("both", ["first", "second"], default_rate=1.0)
    for model in (vocabulary, another_vocabulary):
        found, _ = load_chunks("seqio:both", "train", PrimerTokenizer(model), LENGTH)
        rows = row_set(found.tokens)
        first, second = (row_set(expected(documents, model)) for documents in texts.values())
        assert rows & first and rows & second and rows <= first | second


def test_prepared_tokens_in_rows(vocabulary):
    """T5's own preprocessors, on documents that it neither samples nor groups."""
    from primer_tf.tasks.seqio_rows import lm_rows

    tokens = DocumentTokenizer(vocabulary, end_tokens=False)(list(map(Piece, SENTENCES))).tokens
    for length in (2, LENGTH):
        expected = lm_rows(lambda: SENTENCES, length, vocabulary)
        rows = LmRows(tokens, length)
        assert len(rows) == length * len(expected)
        whole = rows[:].reshape(-1, length)
        for found, row in zip(whole, expected, strict=True):
            assert found[: len(row)].tolist() == row.tolist() and not found[len(row) :].any()
        for start, stop in itertools.combinations(range(0, len(rows), 3), 2):
            np.testing.assert_array_equal(rows[start:stop], whole.reshape(-1)[start:stop])
        chunks = TokenChunks(rows, length)
        assert chunks.num_tokens == sum(map(len, expected))
    with pytest.raises(UserError, match="at least 2"):
        LmRows(tokens, 1)


def test_prepared_shards_in_rows(vocabulary, vocabulary_file, tmp_path):
    path = tmp_path / "text.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in SENTENCES * 10))
    prepare(TextSource(f"lm:{path}"), tmp_path / "tokens", vocabulary_file)
    tokenizer = PrimerTokenizer(vocabulary)
    for split in ("train", "validation"):
        rows, _ = load_chunks(f"lm:{path}", split, tokenizer, LENGTH)
        found, _ = load_chunks(str(tmp_path / "tokens"), split, tokenizer, LENGTH)
        np.testing.assert_array_equal(found.tokens[:], rows.tokens)


def test_gin_files_of_a_run_train_on_rows_cut_as_t5_cuts_them(
    tmp_path, vocabulary, vocabulary_file, text_file
):
    from primer_tf.cli import main

    arguments = [
        *("train", "--output", str(tmp_path / "run"), "--batch_size", "2", "--steps", "1"),
        *("--gin_file", "models/tiny_primer_ez.gin", "--gin_file", "run/train.gin"),
        *("--gin_file", "hardware/cpu.gin"),
    ]
    bindings = {
        "VOCABULARY": str(vocabulary_file),
        "MIXTURE_NAME": "text_autoregressive_language_modeling",
        "TRAIN_FILES": str(text_file),
        "run.sequence_length": {"inputs": 1, "targets": LENGTH},
        **dict(d_model=8, num_heads=2, d_kv=4, d_ff=8, num_layers=1),
    }
    for name, value in bindings.items():
        arguments += ["--gin_param", f"{name} = {value!r}"]
    assert main(arguments) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    documents = list(TextSource(str(text_file)).documents("train"))
    tokens = expected(documents, vocabulary).astype(np.int32)
    assert record["tokens_sha256"] == hashlib.sha256(tokens.tobytes()).hexdigest()
