"""The private names in `_compat` behave as our code expects."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from primer_tf import _compat

MODULE = Path(_compat.__file__)


def test_every_name_exists():
    for name in _compat.__all__:
        assert hasattr(_compat, name), name
    assert not hasattr(_compat, "no_such_name")


def test_every_private_import_is_listed():
    tree = ast.parse(MODULE.read_text(encoding="utf-8"))
    imported = {
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and ".src" in node.module
        for alias in node.names
    }
    assert imported - {"global_state"} <= set(_compat.__all__)


def test_layers_do_not_import_keras_hub():
    code = "import sys, primer_tf.layers; print('keras_hub' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_stateless_scopes():
    variable = keras.Variable(1.0)
    assert not _compat.in_stateless_scope()
    with keras.StatelessScope(state_mapping=[(variable, keras.ops.convert_to_tensor(2.0))]):
        assert _compat.in_stateless_scope()
        other = _compat.get_stateless_scope().get_current_value(variable)
    assert float(other) == 2.0


def test_losses_and_weights_of_different_rank():
    y_true, y_pred = _compat.squeeze_or_expand_to_same_rank(np.ones((2, 3, 1)), np.ones((2, 3)))
    assert y_true.shape == y_pred.shape == (2, 3)
    assert float(_compat.scale_loss_for_distribution(keras.ops.convert_to_tensor(3.0))) == 3.0


def test_layers_at_any_depth():
    inner = keras.Sequential([keras.layers.Dense(2)])
    model = keras.Sequential([inner, keras.layers.ReLU()])
    assert set(_compat.flatten_layers(model)) == {model, inner, *inner.layers, *model.layers}


def test_variables_of_an_optimizer():
    weight, optimizer = keras.Variable(1.0), keras.optimizers.SGD()
    wrapper = keras.optimizers.LossScaleOptimizer(optimizer)
    assert _compat.trained_variables(None) is None
    assert _compat.trained_variables(wrapper) is None
    wrapper.build([weight])
    for each in (optimizer, wrapper):
        (found,) = _compat.trained_variables(each)
        assert found is weight


def test_moving_averages():
    weight, optimizer = keras.Variable(3.0), keras.optimizers.SGD(use_ema=True)
    wrapper = keras.optimizers.LossScaleOptimizer(optimizer)
    wrapper.build([weight])
    ((found, average),) = _compat.moving_averages(wrapper)
    assert found is weight and average is not weight
    optimizer.apply([keras.ops.convert_to_tensor(1.0)])
    assert float(average) == float(weight) != 3.0
    assert _compat.moving_averages(keras.optimizers.SGD()) == []


def test_layouts_of_weights():
    """An optimizer's variables are split as the weights."""
    mesh = keras.distribution.DeviceMesh((2,), ["model"], ["cpu:0", "cpu:1"])
    layout = keras.distribution.TensorLayout(("model",), mesh)
    weight = keras.Variable(np.ones(4))
    assert _compat.variable_layout(weight) is None
    _compat.set_variable_layout(weight, layout)
    assert _compat.variable_layout(weight) is layout


def test_private_attributes_of_base_classes(vocabulary):
    """Keras and KerasHub still have those that the module's docstring lists."""
    import keras_hub

    model = keras.Sequential([keras.layers.Dense(2)])
    optimizer = keras.optimizers.Adafactor()
    optimizer.build([keras.Variable(1.0)])
    model.compile(optimizer)
    tokenizer = keras_hub.tokenizers.SentencePieceTokenizer(vocabulary)
    attention = keras.layers.MultiHeadAttention(2, 2)
    decoder = keras_hub.layers.TransformerDecoder(4, 2)
    for layer in (attention, decoder):
        layer.build((1, 2, 4), (1, 2, 4))
    owners = {
        "GemmaDecoderBlock": _compat.GemmaDecoderBlock,
        "keras.Model": model,
        "keras.layers.MultiHeadAttention": attention,
        "keras_hub.layers.TransformerDecoder": decoder,
        "keras.optimizers.Adafactor": optimizer,
        "keras_hub.models.CausalLM": keras_hub.models.CausalLM,
        "keras_hub.tokenizers.SentencePieceTokenizer": tokenizer,
    }
    for owner, text in re.findall(r"^- `(.*?)`: (.*?)$(?=\n[-\n])", _compat.__doc__, re.M | re.S):
        names = re.findall(r"`(_\w+)`", text)
        assert names and all(hasattr(owners[owner], name) for name in names), owner
        del owners[owner]
    assert not owners


def test_weights_are_added_to_a_built_layer():
    layer = keras.layers.Dense(2, name="outer")
    layer.build((None, 3))
    with _compat.open_for_weights(layer):
        layer.inner = keras.layers.Dense(2, name="inner")
        layer.inner.build((None, 2))
    assert [w.path for w in layer.weights[2:]] == ["outer/inner/kernel", "outer/inner/bias"]
    with pytest.raises(ValueError, match="cannot add new elements"):
        layer.another = keras.layers.Dense(2)


def test_models_that_xla_may_compile():
    model = keras.Sequential([keras.layers.Dense(2)])
    assert _compat.model_supports_jit(model)
    model.layers[0].supports_jit = False
    assert not _compat.model_supports_jit(model)


def test_forgotten_variables_get_no_values():
    with keras.StatelessScope():
        variable = keras.Variable(lambda shape, dtype: np.ones(shape, dtype), shape=(2,))
        _compat.forget_uninitialized_variables()
    assert variable._value is None


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's functions")
def test_functions_that_xla_compiles():
    import tensorflow as tf

    seen = []

    def trace(x):
        seen.append(bool(_compat.in_xla_context()))
        return x + 1

    tf.function(trace, jit_compile=True)(tf.constant(1))
    tf.function(trace)(tf.constant(1))
    assert seen == [True, False]


def test_files_of_a_preset(small_preset):
    names = {path.name for path in small_preset.iterdir()}
    assert {
        _compat.CONFIG_FILE,
        _compat.PREPROCESSOR_CONFIG_FILE,
        _compat.TASK_CONFIG_FILE,
        _compat.TOKENIZER_CONFIG_FILE,
    } <= names
    assert _compat.check_file_exists(str(small_preset), _compat.TASK_CONFIG_FILE)
    assert not _compat.check_file_exists(str(small_preset), _compat.TASK_WEIGHTS_FILE)
    read = _compat.load_json(str(small_preset), _compat.CONFIG_FILE)
    assert read == json.loads((small_preset / _compat.CONFIG_FILE).read_text())
