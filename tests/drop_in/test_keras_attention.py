"""Keras' attention layers with convolutions, against NumPy and against Keras' own."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf import drop_in
from primer_tf.errors import UserError
from tests.drop_in.families import disturb
from tests.drop_in.reference import attention

CHANNELS = 8
LAYERS = {
    "multi_head": lambda **kw: drop_in.MultiHeadAttention(num_heads=2, key_dim=4, **kw),
    "grouped": lambda **kw: drop_in.GroupQueryAttention(4, 4, 2, **kw),
}
PLAIN = {
    "multi_head": lambda: keras.layers.MultiHeadAttention(num_heads=2, key_dim=4),
    "grouped": lambda: keras.layers.GroupQueryAttention(4, 4, 2),
}
TOKENS = np.array([[0, 0, 3, 7, 5, 3], [4, 9, 11, 2, 0, 0]], "int32")
REAL = TOKENS != 0
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 6, CHANNELS)).astype("float32")
MEMORY = RNG.normal(size=(2, 5, CHANNELS)).astype("float32")
CAUSAL = np.tri(6, dtype=bool)


@pytest.fixture(params=LAYERS)
def kind(request):
    return request.param


@pytest.fixture
def layer(kind):
    layer = LAYERS[kind]()
    layer.build(X.shape, X.shape)
    return disturb(layer)


def numpy(x):
    return ops.convert_to_numpy(x)


def test_equals_numpy(layer):
    np.testing.assert_allclose(numpy(layer(X, X)), attention(layer, X, X), atol=1e-4)
    np.testing.assert_allclose(
        numpy(layer(X, X, use_causal_mask=True)), attention(layer, X, X, allowed=CAUSAL), atol=1e-4
    )
    band = CAUSAL & ~np.tri(6, k=-3, dtype=bool)
    np.testing.assert_allclose(
        numpy(layer(X, X, attention_mask=np.stack([band, CAUSAL]))),
        attention(layer, X, X, allowed=np.stack([band, CAUSAL])),
        atol=1e-4,
    )


def test_attends_to_another_sequence(layer):
    key = MEMORY[:, ::-1]
    np.testing.assert_allclose(
        numpy(layer(X, MEMORY, key)), attention(layer, X, MEMORY, key), atol=1e-4
    )


def test_implicit_and_explicit_masks(layer):
    """Padding, on the left or on the right, changes no real output."""
    embedding = keras.layers.Embedding(12, CHANNELS, mask_zero=True)
    x = embedding(TOKENS)
    masks = dict.fromkeys(("query", "key", "value"), REAL)
    expected = attention(layer, numpy(x), numpy(x), masks=masks, allowed=CAUSAL)
    implicit = numpy(layer(x, x, use_causal_mask=True))
    np.testing.assert_allclose(implicit[REAL], expected[REAL], atol=1e-4)
    explicit = layer(
        numpy(x), numpy(x), query_mask=REAL, value_mask=REAL, key_mask=REAL, use_causal_mask=True
    )
    np.testing.assert_allclose(numpy(explicit)[REAL], expected[REAL], atol=1e-4)
    table = numpy(embedding.embeddings)
    table[0] += 5
    embedding.embeddings.assign(table)
    x = embedding(TOKENS)
    changed = numpy(layer(x, x, use_causal_mask=True))
    np.testing.assert_allclose(changed[REAL], implicit[REAL], atol=1e-5)


def test_identity_kernels_give_keras_outputs(kind, layer):
    plain = PLAIN[kind]()
    plain.build(X.shape, X.shape)
    taps = {id(tap) for each in layer.convolutions().values() for tap in each.taps}
    weights = [weight for weight in layer.weights if id(weight) not in taps]
    for ours, theirs in zip(weights, plain.weights, strict=True):
        assert ours.path.split("/")[1:] == theirs.path.split("/")[1:]
        theirs.assign(ours)
    for convolution in layer.convolutions().values():
        for shift, tap in enumerate(convolution.taps):
            tap.assign(np.full(tap.shape, float(shift == 0)))
    y, scores = layer(X, X, use_causal_mask=True, return_attention_scores=True)
    expected, expected_scores = plain(X, X, use_causal_mask=True, return_attention_scores=True)
    np.testing.assert_allclose(numpy(y), numpy(expected), atol=1e-5)
    np.testing.assert_allclose(numpy(scores), numpy(expected_scores), atol=1e-5)


def test_functional_model_trains_and_is_saved(kind, tmp_path):
    tokens = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(12, CHANNELS, mask_zero=True)(tokens)
    model = keras.Model(tokens, LAYERS[kind](kernel_size=2)(x, x, use_causal_mask=True))
    disturb(model)
    before = [numpy(weight) for weight in model.weights]
    expected = numpy(model(TOKENS))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numpy(again(TOKENS)), expected, atol=1e-5)
    assert again.layers[-1].get_config() == model.layers[-1].get_config()
    model.compile("sgd", lambda y, y_pred: ops.mean(y * y_pred * y_pred), run_eagerly=True)
    model.train_on_batch(TOKENS, X)
    still = [
        weight.path
        for weight, old in zip(model.weights, before, strict=True)
        if (numpy(weight) == old).all()
    ]
    # A bias of all keys shifts all scores of a query alike, but convolved keys at the edge.
    assert not still


def test_errors(kind):
    with pytest.raises(UserError, match="`kernel_size` must be an integer of at least 1"):
        LAYERS[kind](kernel_size=1.5)
    if kind == "multi_head":
        x = np.ones((1, 2, 3, CHANNELS), "float32")
        with pytest.raises(UserError, match="convolves over one axis of positions"):
            LAYERS[kind]()(x, x)
