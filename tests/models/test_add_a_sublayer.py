"""The sublayer that docs/contributing/add_a_sublayer.md adds in one entry does all that ours do."""

import dataclasses
import site
from pathlib import Path

import numpy as np
import pytest
from keras import ops

from primer_tf.convert.keras_to_mesh import keras_to_mesh
from primer_tf.convert.mesh_to_keras import mesh_to_keras
from primer_tf.convert.variable_names import mesh_names
from primer_tf.errors import UserError
from primer_tf.gin_config import gin_reader, gin_writer
from primer_tf.gin_config.model_arguments import backbone_arguments
from primer_tf.gin_config.resolved_bindings import ResolvedBindings
from primer_tf.models import PrimerCausalLM, PrimerCausalLMPreprocessor, PrimerTokenizer
from primer_tf.models.cost import model_cost
from primer_tf.sublayers import registry
from tests.convert.parity import MeshProcess, apart, in_keras
from tests.readme import code_blocks

PAGE = Path(__file__).parents[2] / "docs" / "contributing" / "add_a_sublayer.md"
VARIABLE = "transformer/block_000/layer_001/ChannelScale/channel_scale"


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    names = {}
    for code in code_blocks(PAGE)["Adding one"]:
        exec(code, names)
    model = PrimerCausalLM(names["backbone"])
    rng = np.random.default_rng(0)
    for weight in model.backbone.decoder.weights:
        weight.assign(ops.convert_to_numpy(weight) + 0.3 * rng.standard_normal(weight.shape))
    return model


@pytest.fixture
def gin_file(model, tmp_path):
    """The gin file of the model, as text in a folder."""
    file = tmp_path / "model.gin"
    file.write_text(gin_writer.write(model.backbone.arguments))
    return file


@pytest.fixture
def mesh(tf1_process, tmp_path):
    """Runs functions of `mesh_reference` where the page's twin can be imported."""
    (code,) = code_blocks(PAGE)["Its twin in Mesh TensorFlow"]
    (tmp_path / "mesh_channel_scale.py").write_text(code)
    tf1_process.submit(site.addsitedir, str(tmp_path)).result()
    return MeshProcess(tf1_process)


@pytest.mark.slow
def test_it_trains_costs_saves_and_generates(model, tmp_path):
    ids = np.random.default_rng(1).integers(3, 250, (2, 12)).astype("int32")
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    arguments = model.backbone.arguments
    assert model_cost(arguments).parameters == model.count_params()
    scales = [w for w in model.trainable_variables if "channel_scale/scale" in w.path]
    assert len(scales) == 2
    before = [ops.convert_to_numpy(scale) for scale in scales]
    model.fit(inputs, ids, verbose=0)
    for scale, old in zip(scales, before, strict=True):
        assert np.abs(ops.convert_to_numpy(scale) - old).max() > 0
    model.save_to_preset(str(tmp_path / "preset"))
    loaded = PrimerCausalLM.from_preset(str(tmp_path / "preset"))
    logits = ops.convert_to_numpy(model(inputs))
    np.testing.assert_allclose(ops.convert_to_numpy(loaded(inputs)), logits, rtol=1e-6, atol=1e-6)

    expected = ids.copy()
    for position in range(6, 12):
        full = {"token_ids": expected, "padding_mask": np.ones_like(ids)}
        expected[:, position] = ops.convert_to_numpy(model(full))[:, position - 1].argmax(-1)
    mask = np.broadcast_to(np.arange(12) < 6, ids.shape).astype("int32")
    model.compile(sampler="greedy", jit_compile=False)
    texts = model.generate({"token_ids": ids, "padding_mask": mask}, stop_token_ids=None)
    np.testing.assert_array_equal(texts["token_ids"], expected)


def read(gin_file, *bindings):
    return backbone_arguments(ResolvedBindings(gin_reader.read([gin_file], bindings)))


def test_it_is_written_to_gin_and_read_from_it(model, gin_file):
    assert "import mesh_channel_scale\n" in gin_file.read_text()
    found, arguments = read(gin_file), model.backbone.arguments
    assert found["block"] == ["attention", "channel_scale", "feed_forward"]
    assert found == {name: arguments[name] for name in found}
    changed = read(gin_file, "dropout_rate = 0.5")
    assert changed == {**found, "dropout": 0.5}


@pytest.mark.parametrize(
    "binding, message",
    [
        (
            "ChannelScale.dropout_rat = 0.0",
            "no argument 'dropout_rat'; did you mean 'dropout_rate'",
        ),
        ("ChannelScal.dropout_rate = 0.0", "unknown .* 'ChannelScal'; did you mean 'ChannelScale'"),
        ("ChannelScale.dropout_rate = 0.5", r"has one dropout"),
        ("ChannelScale.dropout_rate = 'high'", "not of the kind of its default, 0.0"),
    ],
)
def test_what_does_not_fit_in_gin_is_named(gin_file, binding, message):
    with pytest.raises(UserError, match=message):
        read(gin_file, binding)


def test_its_twin_has_the_same_variables_and_logits(model, gin_file, mesh):
    shapes = mesh("shapes", gin_file=str(gin_file))
    names = mesh_names(model.backbone)
    assert shapes[VARIABLE] == (16,)
    shapes["transformer/embedding"] = (384, 16)  # built for T5's own vocabulary
    assert {names[w.path]: tuple(w.shape) for w in model.backbone.weights} == shapes
    batches = np.random.default_rng(2).integers(3, 250, (1, 2, 32)).astype("int32")
    task = {"gin_file": str(gin_file), "bindings": [], "batches": batches, "prompts": None}
    expected = mesh("reference", **task)
    actual = in_keras(**task, weights=expected["weights"])
    assert apart(actual["logits"], expected["logits"]) < 1e-5


def test_it_converts_both_ways(model, vocabulary, tmp_path):
    preprocessor = PrimerCausalLMPreprocessor(PrimerTokenizer(vocabulary), sequence_length=32)
    PrimerCausalLM(model.backbone, preprocessor).save_to_preset(str(tmp_path / "preset"))
    keras_to_mesh(tmp_path / "preset", tmp_path / "mesh", report=lambda line: None)
    mesh_to_keras(tmp_path / "mesh", tmp_path / "again", report=lambda line: None)
    again = PrimerCausalLM.from_preset(str(tmp_path / "again")).backbone
    assert again.arguments == model.backbone.arguments
    for variable, same in zip(model.backbone.weights, again.weights, strict=True):
        assert variable.path == same.path
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (variable, same)))


def test_without_a_twin_it_is_named(model):
    kind = dataclasses.replace(registry.get_sublayer("channel_scale"), mesh=())
    registry._REGISTRY["channel_scale"] = kind
    for refuse in (mesh_names, lambda backbone: gin_writer.write(backbone.arguments)):
        with pytest.raises(UserError, match="'channel_scale' has no counterpart"):
            refuse(model.backbone)
