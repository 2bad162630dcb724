"""`TransformerDecoder` and `CachedMultiHeadAttention` alone, as users of KerasHub call them."""

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

from primer_tf import drop_in
from primer_tf.errors import UserError
from tests.drop_in.families import disturb
from tests.drop_in.reference import attention

X = np.random.default_rng(0).normal(size=(2, 6, 8)).astype("float32")
MEMORY = np.random.default_rng(1).normal(size=(2, 4, 8)).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def make(**kwargs):
    layer = drop_in.TransformerDecoder(12, 2, **{"normalize_first": True, **kwargs})
    layer.build((None, None, 8))
    return disturb(layer)


def test_equals_numpy():
    layer = make(normalize_first=False)
    attended = attention(layer._self_attention_layer, X, X, allowed=np.tri(6, dtype=bool))
    x = numpy(layer._self_attention_layer_norm(X + attended))
    hidden = x @ numpy(layer._feedforward_intermediate_dense.kernel)
    hidden = np.maximum(hidden + numpy(layer._feedforward_intermediate_dense.bias), 0) ** 2
    y = hidden @ numpy(layer._feedforward_output_dense.kernel)
    y = x + y + numpy(layer._feedforward_output_dense.bias)
    expected = numpy(layer._feedforward_layer_norm(y))
    np.testing.assert_allclose(numpy(layer(X)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("start", [1, 4])
def test_decoding_with_a_cache_equals_a_full_pass(start):
    layer = make()
    expected = numpy(layer(X))
    cache = np.zeros((2, 2, 6, 2, 4), "float32")
    steps = [(0, start)] + [(t, t + 1) for t in range(start, 6)]
    # As KerasHub's loop does, the last position of the prompt is fed again.
    for begin, end in [steps[0], (start - 1, start), *steps[1:]]:
        y, cache = layer(
            X[:, begin:end], self_attention_cache=cache, self_attention_cache_update_index=begin
        )
        np.testing.assert_allclose(numpy(y), expected[:, begin:end], rtol=1e-4, atol=1e-4)


def test_padding_before_a_sequence():
    layer = make()
    mask = np.array([[False, True, True, True, True, True], [True] * 6])
    changed = X.copy()
    changed[0, 0] += 3
    before, after = (numpy(layer(x, decoder_padding_mask=mask)) for x in (X, changed))
    np.testing.assert_allclose(after[mask], before[mask], atol=1e-5)


def test_cross_attention_is_keras_hubs():
    layer = drop_in.TransformerDecoder(12, 2)
    y = layer(X, MEMORY)
    changed = numpy(layer(X, MEMORY + 1.0))
    assert np.abs(numpy(y) - changed).max() > 1e-4
    assert type(layer._cross_attention_layer) is keras_hub.layers.CachedMultiHeadAttention


def test_saved_in_a_model(tmp_path):
    x = keras.Input((None, 8))
    model = disturb(keras.Model(x, make(kernel_size=2, activation="gelu")(x)))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numpy(again(X)), numpy(model(X)), atol=1e-5)
    config, again_config = (m.layers[-1].get_config() for m in (model, again))
    shape = again_config.pop("decoder_sequence_shape")
    assert tuple(shape) == config.pop("decoder_sequence_shape")
    assert again_config == config


def test_errors():
    attention = drop_in.CachedMultiHeadAttention(num_heads=2, key_dim=4)
    with pytest.raises(UserError, match="pass `cache_update_index` with `cache`"):
        attention(X, X, cache=np.zeros((2, 2, 6, 2, 4), "float32"))
    with pytest.raises(UserError, match="The cache has 3 rows on its second axis"):
        attention(X, X, cache=np.zeros((2, 3, 6, 2, 4), "float32"), cache_update_index=0)
