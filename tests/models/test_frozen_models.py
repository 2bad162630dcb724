"""The weights of a frozen model never change."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.errors import UserError
from primer_tf.models import PrimerBackbone, PrimerCausalLM
from primer_tf.training.run import RunConfig, train
from tests.models.small_models import SMALL, make_model
from tests.sample_text import SENTENCES


@pytest.fixture
def frozen(preprocessor):
    return make_model("evolved", preprocessor, num_layers=1, trainable=False)


def reloaded(model, way, folder):
    if way == "keras file":
        model.save(folder / "model.keras")
        return keras.models.load_model(folder / "model.keras")
    model.save_to_preset(str(folder / "preset"))
    return PrimerCausalLM.from_preset(str(folder / "preset"))


def values(model):
    return [np.array(ops.convert_to_numpy(weight)) for weight in model.weights]


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
def test_fit_changes_no_weight_of_a_frozen_model(small_preset):
    model = PrimerCausalLM.from_preset(str(small_preset), trainable=False)
    assert not any(weight.trainable for weight in model.weights)
    assert not model.trainable_variables
    before = values(model)
    model.fit(SENTENCES[:2], batch_size=2, verbose=0)
    for old, new in zip(before, values(model), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PrimerBackbone(**SMALL, trainable=False),
        lambda: PrimerBackbone.from_preset("tiny_primer", num_layers=1, trainable=False),
        lambda: PrimerBackbone(**SMALL, gradient_checkpointing=True, trainable=False),
        lambda: PrimerCausalLM(PrimerBackbone(**SMALL), trainable=False),
        lambda: PrimerCausalLM(PrimerBackbone(**SMALL, trainable=False)),
        lambda: PrimerCausalLM.from_preset("tiny_primer", num_layers=1, trainable=False),
    ],
)
def test_made_frozen(make):
    model = make()
    assert model.weights
    assert not any(weight.trainable for weight in model.weights)
    assert not model.trainable
    model.trainable = True
    assert len(model.trainable_variables) == len(model.weights)


@pytest.mark.parametrize("way", ["keras file", "preset"])
def test_saved_and_loaded(frozen, way, tmp_path):
    model = reloaded(frozen, way, tmp_path)
    assert not any(weight.trainable for weight in model.weights)
    model.backbone.trainable = True
    assert len(model.trainable_variables) == len(model.weights)


def test_a_run_that_could_train_nothing(frozen, text_file, tmp_path):
    frozen.save_to_preset(str(tmp_path / "preset"))
    config = RunConfig(str(tmp_path / "preset"), str(text_file), steps=1, sequence_length=8)
    with pytest.raises(UserError, match="Every weight of .*preset is frozen"):
        train(config, tmp_path / "run", report=lambda line: None)


def test_other_weights_still_train(preprocessor):
    model = make_model("primer_ez", preprocessor, num_layers=1)
    model.backbone.token_embedding.trainable = False
    model.backbone.decoder.blocks[0].trainable = False
    model.compile(keras.optimizers.SGD(0.1))
    before = {weight.path: np.array(ops.convert_to_numpy(weight)) for weight in model.weights}
    model.fit(SENTENCES[:2], batch_size=2, verbose=0)
    moved = {
        weight.path
        for weight in model.weights
        if not np.array_equal(ops.convert_to_numpy(weight), before[weight.path])
    }
    assert moved == {
        "decoder/norm/gamma",
        "decoder/norm/beta",
        "decoder/position_bias_3_heads/embeddings",
    }
