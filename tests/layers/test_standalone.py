"""Every layer in a model of someone else's: Functional, subclassed or Sequential, with any mask."""

import re

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf import layers
from tests.layers.helpers import numpy, randomize
from tests.layers.numpy_reference import relative_position_bias
from tests.layers.reference_forward import attention, forward

CHANNELS, HEADS, IDS = 8, 2, 12
# Padding on the left and on the right; 0 is padding.
TOKENS = np.array([[0, 0, 3, 7, 5, 3], [4, 9, 11, 2, 0, 0]], "int32")
REAL = TOKENS != 0


def attention_and_feed_forward():
    return [layers.MultiDConvHeadAttention(HEADS), layers.FeedForward(12)]


LAYERS = {
    "attention": lambda: layers.CausalSelfAttention(HEADS),
    "mdha": lambda: layers.MultiDConvHeadAttention(HEADS),
    "shared": lambda: layers.MultiDConvHeadAttention(HEADS, shared_query_key=True),
    "synthesizer": lambda: layers.SynthesizerAttention(HEADS, max_length=8),
    "conv": lambda: layers.CausalDepthwiseConv1D(3),
    "separable_conv": lambda: layers.CausalSeparableConv1D(CHANNELS, 3),
    "evolved_conv": lambda: layers.EvolvedConvolution(),
    "norm": lambda: layers.PrimerNormalization(),
    "feed_forward": lambda: layers.FeedForward(12, gated=True, activation="swish"),
    "switch": lambda: layers.SwitchFeedForward(12, 2, router_jitter=0.0),
    "residual": lambda: layers.ResidualSublayer(layers.MultiDConvHeadAttention(HEADS)),
    "block": lambda: layers.DecoderBlock(
        [layers.ResidualSublayer(layer) for layer in attention_and_feed_forward()]
    ),
    "stack": lambda: layers.DecoderStack(attention_and_feed_forward(), num_blocks=1),
}
# Taps of wide convolutions that reach beyond the sequence.
BEYOND = re.compile(r"tap_([3-9]|10)$")
POSITION_WISE = ("norm", "feed_forward")  # need no mask
# JAX compiles every operation of an eager call, which takes a minute for all three.
FORMS = ("functional", "subclassed", "sequential")[: 1 if keras.backend.backend() == "jax" else 3]
CASES = [
    (name, form, mask)
    for name in LAYERS
    for form in FORMS
    for mask in ("none", "implicit", "explicit")
    if not (mask == "explicit" and (form == "sequential" or name in POSITION_WISE))
]


@keras.saving.register_keras_serializable(package="test_standalone")
class Subclassed(keras.Model):
    """An embedding and a layer, called on tokens, or on tokens and a padding mask."""

    def __init__(self, layer, mask_zero, **kwargs):
        super().__init__(**kwargs)
        self.embedding = keras.layers.Embedding(IDS, CHANNELS, mask_zero=mask_zero)
        self.layer = layer

    def call(self, inputs):
        tokens, *mask = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        x = self.embedding(tokens)
        return self.layer(x, padding_mask=mask[0]) if mask else self.layer(x)

    def get_config(self):
        layer = keras.saving.serialize_keras_object(self.layer)
        return {"layer": layer, "mask_zero": self.embedding.mask_zero}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["layer"]), config["mask_zero"])


def make_model(layer, form, mask):
    if form == "subclassed":
        return Subclassed(layer, mask == "implicit")
    embedding = keras.layers.Embedding(IDS, CHANNELS, mask_zero=mask == "implicit")
    if form == "sequential":
        return keras.Sequential([embedding, layer])
    tokens = keras.Input((None,), dtype="int32")
    if mask == "explicit":
        padding_mask = keras.Input((None,), dtype="bool")
        outputs = layer(embedding(tokens), padding_mask=padding_mask)
        return keras.Model([tokens, padding_mask], outputs)
    return keras.Model(tokens, layer(embedding(tokens)))


def train_one_step(model, inputs):
    """Trains eagerly, and returns the weights that did not move."""
    before = [numpy(weight) for weight in model.weights]
    coefficients = np.random.default_rng(3).normal(size=(*TOKENS.shape, CHANNELS))
    model.compile("sgd", lambda y, y_pred: ops.mean(y * y_pred * y_pred), run_eagerly=True)
    model.train_on_batch(inputs, coefficients.astype("float32"))
    return [
        weight.path
        for weight, old in zip(model.weights, before, strict=True)
        if (numpy(weight) == old).all() and not BEYOND.search(weight.path)
    ]


@pytest.mark.parametrize("name, form, mask", CASES)
def test_equals_numpy_trains_and_is_saved(name, form, mask, tmp_path):
    layer = LAYERS[name]()
    model = make_model(layer, form, mask)
    inputs = [TOKENS, REAL] if mask == "explicit" else TOKENS
    model(inputs)
    randomize(model)
    x = embed(model)
    masks = {} if mask == "none" or name in POSITION_WISE else {"padding_mask": REAL}
    where = np.ones_like(REAL) if mask == "none" else REAL
    expected = forward(layer, x, **masks)[where]
    actual = numpy(model(inputs))
    np.testing.assert_allclose(actual[where], expected, rtol=1e-4, atol=1e-4)

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numpy(again(inputs)), actual, rtol=1e-5, atol=1e-5)
    assert {id(w) for w in layer.weights} <= {id(w) for w in model.trainable_weights}
    assert not train_one_step(model, inputs)


def embed(model):
    (embedding,) = [
        layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Embedding)
    ]
    return numpy(embedding.embeddings)[TOKENS]


class Biased(keras.layers.Layer):
    """Attention with a position bias, by lengths inside `call`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.bias = layers.T5RelativePositionBias(HEADS)
        self.attention = layers.CausalSelfAttention(HEADS)

    def call(self, x):
        return self.attention(x, position_bias=self.bias(query=x.shape[1], key=x.shape[1]))


@pytest.mark.parametrize("length", [TOKENS.shape[1], None])
@pytest.mark.parametrize("form", ["functional", "subclassed", "sequential"])
def test_the_position_bias_trains(form, length):
    if form == "functional":
        bias, layer = layers.T5RelativePositionBias(HEADS), layers.CausalSelfAttention(HEADS)
        tokens = keras.Input((length,), dtype="int32")
        x = keras.layers.Embedding(IDS, CHANNELS)(tokens)
        model = keras.Model(tokens, layer(x, position_bias=bias(x)))
    else:
        biased = Biased()
        model = make_model(biased, form, "none")
        model(TOKENS)
        bias, layer = biased.bias, biased.attention
    randomize(model)
    length = TOKENS.shape[1]
    matrix = relative_position_bias(numpy(bias.embeddings), length, length)
    expected = attention(layer, embed(model), bias=matrix)
    np.testing.assert_allclose(numpy(model(TOKENS)), expected, rtol=1e-4, atol=1e-4)
    assert not train_one_step(model, TOKENS)


@pytest.mark.parametrize("make", [lambda bias: bias, keras.Variable])
def test_a_bias_that_would_not_train_is_an_error(make):
    x = keras.Input((5, CHANNELS))
    bias = make(layers.T5RelativePositionBias(HEADS)(query=5))
    with pytest.raises(ValueError, match="train no weights behind it"):
        layers.MultiDConvHeadAttention(HEADS)(x, position_bias=bias)
    with pytest.raises(ValueError, match="train no weights behind it"):
        layers.MultiDConvHeadAttention(HEADS)(x, bias)
    with pytest.raises(ValueError, match="`history` of CausalDepthwiseConv1D has a value"):
        layers.CausalDepthwiseConv1D()(x, history=ops.ones((1, 2, CHANNELS)))


def test_a_constant_bias_may_be_an_array():
    x = keras.Input((5, CHANNELS))
    bias = np.zeros((HEADS, 5, 5), "float32")
    y = layers.MultiDConvHeadAttention(HEADS)(x, position_bias=bias)
    assert keras.Model(x, y)(np.ones((1, 5, CHANNELS))).shape == (1, 5, CHANNELS)


def test_masks_of_both_kinds_count():
    embedding, layer = keras.layers.Embedding(IDS, CHANNELS, mask_zero=True), LAYERS["stack"]()
    first = np.arange(TOKENS.shape[1]) != 3
    explicit = np.stack([first, np.ones_like(first)])
    actual = numpy(layer(embedding(TOKENS), padding_mask=explicit))
    both = REAL & explicit
    expected = forward(layer, numpy(embedding(TOKENS)), padding_mask=both)
    np.testing.assert_allclose(actual[both], expected[both], rtol=1e-4, atol=1e-4)
