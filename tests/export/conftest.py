"""A small model, its exports, and a client that sees only the SavedModels."""

import numpy as np
import pytest
import tensorflow as tf

from primer_tf.export import export_saved_model
from primer_tf.models import PrimerCausalLMPreprocessor, PrimerTokenizer
from primer_tf.serving.saved_model import SavedModel
from tests.models.small_models import make_model

LENGTH = 40
PROMPTS = ["In the", "And God said, Let there be", "And"]


class Client(SavedModel):
    """Calls the signatures of a SavedModel with values by name."""

    def __call__(self, name, **values):
        inputs = {}
        for key, value in values.items():
            dtype = tf.as_dtype(self.signature(name).inputs[key].dtype).as_numpy_dtype
            inputs[key] = np.asarray(value, dtype)
        return {key: value.numpy() for key, value in self.predict(name, inputs).items()}

    def error(self, name, **values):
        with pytest.raises(tf.errors.InvalidArgumentError) as raised:
            self(name, **values)
        return raised.value.message


@pytest.fixture(scope="package")
def model(vocabulary):
    preprocessor = PrimerCausalLMPreprocessor(PrimerTokenizer(vocabulary), sequence_length=LENGTH)
    model = make_model("primer_ez", preprocessor, num_layers=1)
    model.compile(sampler="greedy", jit_compile=False)
    return model


@pytest.fixture(scope="package")
def texts_folder(model, tmp_path_factory):
    return export_saved_model(model, tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="package")
def ids_folder(model, tmp_path_factory):
    return export_saved_model(model, tmp_path_factory.mktemp("ids"), ids=True)


@pytest.fixture(scope="package")
def client(texts_folder):
    return Client(texts_folder)


@pytest.fixture(scope="package")
def id_client(ids_folder):
    return Client(ids_folder)


@pytest.fixture(scope="package")
def prompt_ids(model):
    """`(token_ids, lengths)`: the prompts as ids with the start token, padded on the right."""
    tokenizer = model.preprocessor.tokenizer
    rows = [[tokenizer.start_token_id, *np.asarray(tokenizer(p)).tolist()] for p in PROMPTS]
    lengths = np.array([len(row) for row in rows])
    ids = np.zeros((len(rows), lengths.max()), "int32")
    for target, row in zip(ids, rows, strict=True):
        target[: len(row)] = row
    return ids, lengths


def log_probabilities(model, token_ids):
    """Returns the log softmax of a full pass over one text, `[T, V]`."""
    ids = np.asarray(token_ids)[None]
    logits = model({"token_ids": ids, "padding_mask": np.ones_like(ids)}).numpy()[0]
    logits = logits.astype("float64")
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))
