"""Fixtures that several tests share."""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).parent))

import pytest  # noqa: E402
from sample_text import SENTENCES  # noqa: E402


@pytest.fixture(scope="session")
def vocabulary():
    """A small SentencePiece model, as bytes."""
    from primer_tf.training.vocabulary import train_vocabulary

    return train_vocabulary(SENTENCES * 4, size=300)


@pytest.fixture(scope="session")
def vocabulary_file(vocabulary, tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.model"
    path.write_bytes(vocabulary)
    return path
