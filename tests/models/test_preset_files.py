"""The files of a preset after saving, and the models that load from them."""

import json
import os

import numpy as np
import pytest
from keras import ops

from primer_tf.errors import UserError
from primer_tf.models import (
    PrimerBackbone,
    PrimerCausalLM,
    PrimerCausalLMPreprocessor,
    PrimerTokenizer,
)
from primer_tf.models.training_state import FILE, read_training_state, save_training_state
from tests.models.small_models import SMALL, make_model


def files(folder):
    return {
        os.path.relpath(os.path.join(root, name), folder)
        for root, _, names in os.walk(folder)
        for name in names
    }


def same(model, other):
    for a, b in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))


@pytest.mark.parametrize("what", ["model", "backbone"])
@pytest.mark.parametrize("overrides", [{}, {"dropout": 0.5}, {"load_weights": True}])
def test_a_preset_without_a_tokenizer(what, overrides, tmp_path, preprocessor):
    model = make_model("primer_ez", None, num_layers=1)
    (model if what == "model" else model.backbone).save_to_preset(str(tmp_path))
    loaded = PrimerCausalLM.from_preset(tmp_path, **overrides)
    same(loaded, model)
    assert loaded.preprocessor is None
    assert loaded.backbone.dropout == overrides.get("dropout", 0.0)
    same(PrimerCausalLM.from_preset(tmp_path, preprocessor=preprocessor), model)
    for cls in (PrimerTokenizer, PrimerCausalLMPreprocessor):
        with pytest.raises(UserError, match="has no tokenizer; make one from a vocabulary"):
            cls.from_preset(str(tmp_path))
    with pytest.raises(UserError, match="sequence_length belongs to the preprocessor.*has none"):
        PrimerCausalLM.from_preset(tmp_path, sequence_length=8)


def test_named_presets_have_no_tokenizer():
    with pytest.raises(UserError, match="Preset 'tiny_primer' has no tokenizer"):
        PrimerTokenizer.from_preset("tiny_primer")


@pytest.fixture
def older(preprocessor, tmp_path):
    """A directory with a preset as `primer train` writes it, and a file of the user."""
    model = make_model("primer", preprocessor, num_layers=1)
    model.save_to_preset(str(tmp_path))
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(7)
    save_training_state(tmp_path, model.trainable_variables, model.optimizer)
    assert read_training_state(tmp_path)[0] == 7
    (tmp_path / "model_best.weights.h5").write_bytes(b"the user's")
    return tmp_path


def test_a_model_saved_over_an_older_one(older, preprocessor):
    expected = files(older) - {FILE}
    # With the same shapes, a remaining file would pair old moments with the new weights.
    model = make_model("primer", preprocessor, num_layers=1)
    model.save_to_preset(str(older))
    assert files(older) == expected
    same(PrimerCausalLM.from_preset(str(older)), model)


def test_a_model_without_a_tokenizer_saved_over_one_with_it(older):
    make_model("primer_ez", None, num_layers=1).save_to_preset(str(older))
    assert files(older) == {
        "config.json",
        "metadata.json",
        "model.weights.h5",
        "task.json",
        "model_best.weights.h5",
    }
    assert PrimerCausalLM.from_preset(str(older), dropout=0.5).preprocessor is None


def test_a_backbone_saved_over_an_older_model(older, vocabulary):
    """The tokenizer stays, as in KerasHub's presets; the files of the old model are deleted."""
    backbone = PrimerBackbone(**SMALL)
    backbone.save_to_preset(str(older))
    assert not {FILE, "task.json"} & files(older)
    model = PrimerCausalLM.from_preset(str(older))
    assert model.backbone.num_layers == SMALL["num_layers"]
    assert model.preprocessor.tokenizer.proto == vocabulary
    same(model.backbone, backbone)


def test_shards_and_one_file_replace_each_other(older, preprocessor):
    # Keras would read the single file even if the shards are newer.
    sharded = make_model("primer_ez", preprocessor)
    sharded.save_to_preset(str(older), max_shard_size=4e-5)
    assert "model_00001.weights.h5" in files(older)
    assert "model.weights.h5" not in files(older)
    same(PrimerCausalLM.from_preset(str(older)), sharded)
    make_model("primer", preprocessor).save_to_preset(str(older))
    assert not any("_0000" in name or "weights.json" in name for name in files(older))


def test_nothing_is_lost_when_saving_fails(older, monkeypatch):
    before = {name: (older / name).read_bytes() for name in files(older)}

    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(PrimerBackbone, "save_weights", fail)
    with pytest.raises(OSError, match="No space left"):
        make_model("primer_ez", None).save_to_preset(str(older))
    assert {name: (older / name).read_bytes() for name in files(older)} == before


def test_vocabulary_beyond_the_embedding(preprocessor, tmp_path):
    message = "300 pieces, more than the 256 rows of the model's embedding"
    with pytest.raises(UserError, match=message):
        make_model("primer_ez", preprocessor, vocabulary_size=256, num_layers=1)
    model = make_model("primer_ez", None, vocabulary_size=256, num_layers=1)
    with pytest.raises(UserError, match=message):
        model.preprocessor = preprocessor
    model.save_to_preset(str(tmp_path))
    preprocessor.save_to_preset(str(tmp_path))
    with pytest.raises(UserError, match=message):
        PrimerCausalLM.from_preset(str(tmp_path), dropout=0.5)
    config = json.loads((tmp_path / "task.json").read_text())
    config["config"]["preprocessor"] = json.loads((tmp_path / "preprocessor.json").read_text())
    (tmp_path / "task.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=message):
        PrimerCausalLM.from_preset(str(tmp_path))


def test_vocabulary_that_is_set_later(vocabulary):
    tokenizer = PrimerTokenizer()
    model = make_model(
        "primer_ez", PrimerCausalLMPreprocessor(tokenizer, 8), vocabulary_size=256, num_layers=1
    )
    tokenizer.set_proto(vocabulary)
    with pytest.raises(UserError, match="300 pieces, more than the 256 rows"):
        model.generate(["And God said"])
