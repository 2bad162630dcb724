"""The published tasks read tiny prepared datasets that have their data's names."""

import pytest

from tests.mesh.tf1 import in_tf1


def task(name, folder):
    import seqio

    from primer_tf.tasks import seqio_tasks  # noqa: F401  registers the tasks

    task = seqio.get_mixture_or_task(f"{name}_autoregressive_language_modeling")
    task.source.tfds_dataset.override_data_dir(folder)
    return task


def examples(make_dataset, *args, **kwargs):
    """Returns the examples of a dataset, which is built in its own graph."""
    import tensorflow.compat.v1 as tf
    import tensorflow_datasets as tfds

    with tf.Graph().as_default():
        return list(tfds.as_numpy(make_dataset(*args, **kwargs)))


@in_tf1
def test_targets_are_the_documents_joined_and_cut(tmp_path, tfds_folder):
    import gin
    import sentencepiece
    import tensorflow_datasets as tfds

    from primer_tf.tasks import seqio_tasks  # noqa: F401  registers the configurables
    from tests.mesh.command import corpus

    gin.clear_config()
    pieces = corpus(str(tmp_path))["VOCABULARY"]
    gin.bind_parameter("primer_tf.tasks.sentencepiece_model.path", pieces)
    encode = sentencepiece.SentencePieceProcessor(model_file=pieces).encode
    published = {
        ("c4_v220", "c4/en:3.0.1", "text"): {"train": "train", "validation": "validation"},
        ("lm1b", "lm1b:1.1.0", "text"): {
            "train": "train[:98%]",
            "validation": "train[98%:]",
            "test": "test",
        },
        ("pg19", "pg19:0.1.1", "book_text"): {
            split: split for split in ("train", "validation", "test")
        },
    }
    for (name, data_set, key), splits in published.items():
        published_task = task(name, tfds_folder)
        assert set(published_task.splits) == set(splits)
        for split, slice_ in splits.items():
            read = examples(tfds.load, data_set, split=slice_, data_dir=tfds_folder)
            joined, chunks = [], []
            # Documents are joined 128 at a time.
            for number, document in enumerate(read):
                joined += encode(document[key].decode())
                if number % 128 == 127 or number == len(read) - 1:
                    chunks += [joined[i : i + 15] + [1] for i in range(0, len(joined), 15)]
                    joined = []
            found = examples(
                published_task.get_dataset, {"targets": 16}, split=split, shuffle=False
            )
            assert [list(example["targets"]) for example in found] == chunks, (name, split)
            if name == "lm1b":
                assert len(read) == {"train": 196, "validation": 4, "test": 7}[split]


@pytest.mark.slow
@in_tf1
def test_the_command_trains_and_evaluates(tmp_path, tfds_folder):
    import re

    from tests.mesh.command import corpus, t5

    vocabulary = corpus(str(tmp_path))["VOCABULARY"]
    for name in ("lm1b", "c4_v220"):
        task(name, None)
        arguments = dict(
            VOCABULARY=vocabulary,
            MIXTURE_NAME=f"{name}_autoregressive_language_modeling",
            flags=[f"--t5_tfds_data_dir={tfds_folder}"],
        )
        model = str(tmp_path / name)
        assert re.search(r"step 3/3  loss \d", t5(model, "train", TRAIN_STEPS=3, **arguments))
        printed = t5(model, "perplexity_eval", CHECKPOINT=-1, **arguments)
        assert re.search(r"validation_\d+ at step 3: perplexity \d", printed)


@in_tf1
def test_unprepared_data_is_a_clear_error_without_a_download(tmp_path):
    import socket
    from unittest import mock

    from tests.mesh.command import corpus, failure

    vocabulary = corpus(str(tmp_path))["VOCABULARY"]
    (tmp_path / "empty").mkdir()
    for name, data_set in (("lm1b", "lm1b:1.1.0"), ("c4_v220", "c4/en:3.0.1"), ("pg19", "pg19:")):
        task(name, None)
        with (
            mock.patch.object(socket.socket, "connect", side_effect=AssertionError),
            mock.patch.object(socket, "getaddrinfo", side_effect=AssertionError),
        ):
            message = failure(
                str(tmp_path / name),
                "train",
                TRAIN_STEPS=1,
                VOCABULARY=vocabulary,
                MIXTURE_NAME=f"{name}_autoregressive_language_modeling",
                flags=[f"--t5_tfds_data_dir={tmp_path / 'empty'}"],
            )
        assert data_set in message and str(tmp_path / "empty") in message, message
    assert not list((tmp_path / "empty").iterdir())
