"""A preset that the package carries loads by its name, with half-precision weights."""

import json
import re

import keras
import numpy as np
import pytest

from primer_tf.cli import main
from primer_tf.errors import UserError
from primer_tf.gin_config import trained_presets
from primer_tf.gin_config.trained_presets import preset_path, save_trained_preset
from primer_tf.models import PrimerBackbone, PrimerCausalLM, PrimerTokenizer
from tests.models.small_models import make_model

NAME = "tiny_test_english"
CARD = "# A test\n\nOf no use.\n"


@pytest.fixture
def shipped(monkeypatch, tmp_path, preprocessor):
    monkeypatch.setattr(trained_presets, "FOLDER", tmp_path / "trained")
    model = make_model("primer_ez", preprocessor)
    save_trained_preset(model, NAME, CARD)
    return model


def test_it_loads_by_its_name(shipped):
    loaded = PrimerCausalLM.from_preset(NAME)
    for before, after in zip(shipped.weights, loaded.weights, strict=True):
        assert after.dtype == "float32"
        expected = keras.ops.convert_to_numpy(before).astype("float16")
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(after), expected)
    assert loaded.generate("In the", max_length=12).startswith("In the")
    assert PrimerTokenizer.from_preset(NAME).vocabulary_size() > 0
    assert PrimerBackbone.from_preset(NAME).count_params() == shipped.backbone.count_params()


def test_a_weight_takes_two_bytes(shipped, tmp_path):
    shipped.save_to_preset(tmp_path / "whole")
    sizes = [
        (folder / "model.weights.h5").stat().st_size
        for folder in (tmp_path / "whole", tmp_path / "trained" / NAME)
    ]
    # A small file is mostly the names of the weights.
    assert sizes[0] - sizes[1] > 1.5 * shipped.count_params()


def test_it_is_listed(shipped, capsys):
    entry = trained_presets.trained_presets()[NAME]["metadata"]
    assert entry["description"] == "Of no use."
    assert entry["params"] == shipped.count_params()
    assert main(["models"]) == 0
    assert f"{NAME}, trained: Of no use." in capsys.readouterr().out


def test_other_presets_are_as_before(shipped, tmp_path):
    for preset in ("tiny_primer_ez", str(tmp_path), "hf://user/model", f"x/{NAME}"):
        assert preset_path(preset) == preset
    with pytest.raises(UserError, match=NAME):
        PrimerCausalLM.from_preset("no_such_preset")


def test_what_cannot_be_shipped(shipped, monkeypatch):
    with pytest.raises(UserError, match="model card"):
        save_trained_preset(shipped, "other", " ")
    with pytest.raises(UserError, match="no tokenizer"):
        save_trained_preset(PrimerCausalLM(shipped.backbone), "other", CARD)
    monkeypatch.setattr(trained_presets, "LARGEST_SIZE", 1000)
    with pytest.raises(UserError, match="may take 1,000"):
        save_trained_preset(shipped, "other", CARD)
    assert not (trained_presets.FOLDER / "other").exists()


SHIPPED = trained_presets.trained_presets()


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_what_the_card_says(name, capsys):
    card = (trained_presets.FOLDER / name / "README.md").read_text(encoding="utf-8")
    figure = re.search(r"([\d.]+) in those of the King James", card)[1]
    assert main(["evaluate", name, "--data", "demo", "--json"]) == 0
    assert f"{json.loads(capsys.readouterr().out)['bits_per_byte']:.4f}" == figure
    assert f"{SHIPPED[name]['metadata']['params']:,} parameters" in card
