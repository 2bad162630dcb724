"""With `trainable=False` no weight changes, no matter when and where it was set."""

import keras
import numpy as np
import pytest
from keras import ops

import primer_tf.layers
from primer_tf.layers import (
    CausalDepthwiseConv1D,
    CausalSelfAttention,
    CausalSeparableConv1D,
    DecoderBlock,
    DecoderStack,
    EvolvedConvolution,
    FeedForward,
    MultiDConvHeadAttention,
    PrimerNormalization,
    ResidualSublayer,
    SwitchFeedForward,
    SynthesizerAttention,
    T5RelativePositionBias,
    TokenShiftAttention,
)
from tests.layers.helpers import numpy

SHAPE = (2, 5, 12)
X = np.random.default_rng(0).standard_normal(SHAPE).astype("float32")

MAKERS = {
    CausalDepthwiseConv1D: lambda **kwargs: CausalDepthwiseConv1D(**kwargs),
    CausalSelfAttention: lambda **kwargs: CausalSelfAttention(3, **kwargs),
    CausalSeparableConv1D: lambda **kwargs: CausalSeparableConv1D(12, 3, **kwargs),
    DecoderBlock: lambda **kwargs: DecoderBlock([ResidualSublayer(FeedForward(7))], **kwargs),
    DecoderStack: lambda **kwargs: DecoderStack(
        [MultiDConvHeadAttention(3), FeedForward(7)], 2, **kwargs
    ),
    EvolvedConvolution: lambda **kwargs: EvolvedConvolution(**kwargs),
    FeedForward: lambda **kwargs: FeedForward(7, gated=True, **kwargs),
    MultiDConvHeadAttention: lambda **kwargs: MultiDConvHeadAttention(
        3, shared_query_key=True, **kwargs
    ),
    PrimerNormalization: lambda **kwargs: PrimerNormalization(**kwargs),
    ResidualSublayer: lambda **kwargs: ResidualSublayer(FeedForward(7), **kwargs),
    SwitchFeedForward: lambda **kwargs: SwitchFeedForward(7, 2, **kwargs),
    SynthesizerAttention: lambda **kwargs: SynthesizerAttention(3, max_length=6, **kwargs),
    T5RelativePositionBias: lambda **kwargs: T5RelativePositionBias(3, **kwargs),
    TokenShiftAttention: lambda **kwargs: TokenShiftAttention(3, **kwargs),
}


def build(layer):
    layer.build(None if isinstance(layer, T5RelativePositionBias) else SHAPE)
    return layer


def frozen(cls):
    return build(MAKERS[cls](trainable=False))


def frozen_before_building(cls):
    layer = MAKERS[cls]()
    layer.trainable = False
    return build(layer)


def restored(cls):
    return build(cls.from_config(frozen(cls).get_config()))


def test_every_public_layer_is_tested():
    public = {getattr(primer_tf.layers, name) for name in primer_tf.layers.__all__}
    layers = {c for c in public if isinstance(c, type) and issubclass(c, keras.layers.Layer)}
    bases = {primer_tf.layers.DecoderLayer, primer_tf.layers.PositionMixingLayer}
    assert layers - bases == set(MAKERS)


@pytest.mark.parametrize("cls", MAKERS)
@pytest.mark.parametrize("make", [frozen, frozen_before_building, restored])
def test_no_variable_is_trainable(make, cls):
    """Models look at the attribute of the variables, not of the layers."""
    layer = make(cls)
    assert layer.weights
    assert not any(weight.trainable for weight in layer.weights)
    layer.trainable = True
    assert len(layer.trainable_variables) == len(layer.weights)


def test_only_the_frozen_half_of_a_model_stays_unchanged():
    layers = [frozen(cls) for cls in MAKERS if cls is not T5RelativePositionBias]
    head = keras.layers.Dense(1)
    x = inputs = keras.Input(SHAPE[1:])
    for layer in layers:
        x = layer(x)
    model = keras.Model(inputs, head(x))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = [numpy(ops.copy(w)) for layer in layers for w in layer.weights]
    kernel = numpy(ops.copy(head.kernel))
    model.fit(X, np.ones((2, 5, 1)), verbose=0)
    after = [numpy(w) for layer in layers for w in layer.weights]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new, old)
    assert not np.array_equal(numpy(head.kernel), kernel)


def test_a_frozen_prototype_is_frozen_in_every_block():
    stack = DecoderStack([FeedForward(7, trainable=False), PrimerNormalization()], 2)
    stack.build(SHAPE)
    for block in stack.blocks:
        frozen, trained = (sublayer.layer.weights for sublayer in block.sublayers)
        assert not any(weight.trainable for weight in frozen)
        assert all(weight.trainable for weight in trained)
