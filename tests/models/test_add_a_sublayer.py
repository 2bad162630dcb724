"""The example sublayer of docs/contributing/add_a_sublayer.md works like the built-in ones."""

from pathlib import Path

import numpy as np
import pytest
from keras import ops

from primer_tf.convert.variable_names import mesh_names
from primer_tf.errors import UserError
from primer_tf.layers import sublayer
from primer_tf.models import PrimerCausalLM
from primer_tf.models.cost import model_cost
from tests.readme import code_blocks

PAGE = Path(__file__).parents[2] / "docs" / "contributing" / "add_a_sublayer.md"


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(sublayer, "_REGISTRY", dict(sublayer._REGISTRY))
    names = {}
    for code in code_blocks(PAGE)["Adding one"]:
        exec(code, names)
    model = PrimerCausalLM(names["backbone"])
    rng = np.random.default_rng(0)
    for weight in model.backbone.decoder.weights:
        weight.assign(ops.convert_to_numpy(weight) + 0.3 * rng.standard_normal(weight.shape))
    return model


def test_it_trains_saves_generates_and_has_its_cost(model, tmp_path):
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


def test_conversion_names_a_sublayer_without_counterpart(model):
    with pytest.raises(UserError, match="'channel_scale' has no counterpart"):
        mesh_names(model.backbone)
