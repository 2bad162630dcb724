"""Tokenizers in TensorFlow pipelines still work after Keras and TensorFlow clear their caches."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from primer_tf.data.vocabulary import train_vocabulary
from primer_tf.models import PrimerCausalLMPreprocessor, PrimerTokenizer
from tests.models.small_models import make_model
from tests.sample_text import SENTENCES

TEXTS = SENTENCES[:4]
RESETS = {
    "set_random_seed": lambda: keras.utils.set_random_seed(0),
    "clear_session": keras.utils.clear_session,
}


@pytest.mark.parametrize("reset", RESETS)
def test_earlier_pipelines_work_after_a_reset(reset, vocabulary):
    """The truth comes from SentencePiece itself, which KerasHub calls outside TensorFlow."""
    other = train_vocabulary([text.upper() for text in SENTENCES] * 4, size=290)
    tokenizers = [PrimerTokenizer(proto) for proto in (vocabulary, other)]
    expected = [[tokenizer(text) for text in TEXTS] for tokenizer in tokenizers]
    eager = PrimerTokenizer(vocabulary, _allow_python_workflow=False)
    texts = tf.data.Dataset.from_tensor_slices(TEXTS)
    mapped = texts.map(lambda text: [tokenizer(text) for tokenizer in tokenizers])
    back = tf.function(lambda text: tokenizers[0].detokenize(tokenizers[0](text)))

    def check(between=None):
        rows = iter(mapped)
        for index in range(len(TEXTS)):
            for tokens, right in zip(next(rows), expected, strict=True):
                np.testing.assert_array_equal(tokens, right[index])
            if between is not None:
                between()
        assert [text.decode() for text in back(tf.constant(TEXTS)).numpy()] == TEXTS
        np.testing.assert_array_equal(eager(TEXTS)[1], expected[0][1])
        assert eager.detokenize(eager(TEXTS)) == TEXTS

    check()
    RESETS[reset]()
    check()
    check(RESETS[reset])


def test_fit_on_strings_after_a_reset(vocabulary):
    preprocessor = PrimerCausalLMPreprocessor(PrimerTokenizer(vocabulary), sequence_length=24)
    dataset = tf.data.Dataset.from_tensor_slices(TEXTS).batch(2)
    model = make_model("primer_ez", preprocessor, num_layers=1)
    model.compile(keras.optimizers.SGD(0.0), loss=model.loss)
    expected = model.evaluate(dataset, verbose=0, return_dict=True)["loss"]
    keras.utils.clear_session()
    assert model.fit(dataset, verbose=0).history["loss"][0] == pytest.approx(expected, rel=1e-5)
