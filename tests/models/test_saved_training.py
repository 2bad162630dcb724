"""A model that is saved during training continues like one that was never interrupted."""

import keras
import keras_hub
import numpy as np
import pytest

from primer_tf.losses import NextTokenLoss
from primer_tf.optimizers import RsqrtSchedule, T5Adafactor
from tests.models.small_models import make_model
from tests.sample_text import SENTENCES

EXACT = keras.backend.backend() == "tensorflow"
# On PyTorch dropout uses a global generator, which no model saves.
DROPOUT = 0.0 if keras.backend.backend() == "torch" else 0.2
FIT = {"batch_size": 2, "shuffle": False, "verbose": 0}
TEXTS = SENTENCES[:4]


def compile_small(preprocessor):
    """Returns a model whose training steps use random generators."""
    model = make_model("primer_ez", preprocessor, num_layers=1, dropout=DROPOUT)
    model.compile(
        optimizer=T5Adafactor(RsqrtSchedule(warmup_steps=10, ramp_up_steps=2), clipnorm=1.0),
        loss=NextTokenLoss(z_loss=1e-3, label_smoothing=0.1),
        sampler=keras_hub.samplers.TopKSampler(k=7, temperature=0.5, seed=3),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="hits")],
    )
    return model


def state(model):
    return [keras.ops.convert_to_numpy(v) for v in [*model.weights, *model.optimizer.variables]]


@pytest.fixture(scope="module")
def saved(preprocessor, tmp_path_factory):
    """The files after the first of three epochs, and the state and history after the last."""
    folder = tmp_path_factory.mktemp("saved")
    model = compile_small(preprocessor)
    callbacks = [
        keras.callbacks.ModelCheckpoint(folder / "{epoch}.keras"),
        keras.callbacks.ModelCheckpoint(folder / "{epoch}.weights.h5", save_weights_only=True),
    ]
    history = model.fit(TEXTS, epochs=3, callbacks=callbacks, **FIT).history
    return folder, state(model), history


@pytest.mark.parametrize("file", ["1.keras", *(["1.weights.h5"] if EXACT else [])])
def test_continues_like_an_uninterrupted_run(saved, preprocessor, file):
    folder, expected, history = saved
    keras.utils.set_random_seed(5)
    if file.endswith(".keras"):
        model = keras.saving.load_model(folder / file)
    else:
        model = compile_small(preprocessor)
        model.optimizer.build(model.trainable_variables)
        model.load_weights(folder / file)
    assert int(model.optimizer.iterations) == 2
    again = model.fit(TEXTS, epochs=3, initial_epoch=1, **FIT).history
    assert list(again) == list(history) == ["hits", "loss"]
    for actual, all_epochs in zip(again.values(), history.values(), strict=True):
        assert actual == (all_epochs[1:] if EXACT else pytest.approx(all_epochs[1:], rel=1e-4))
    for a, b in zip(state(model), expected, strict=True):
        if EXACT:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_arguments_of_compile(saved):
    model = keras.saving.load_model(saved[0] / "1.keras")
    assert (model.loss.z_loss, model.loss.label_smoothing) == (1e-3, 0.1)
    assert (model.sampler.k, model.sampler.temperature) == (7, 0.5)
    assert model.optimizer.clipnorm == 1.0
    assert model.get_compile_config()["jit_compile"] == "auto"


def test_mixed_precision_and_another_optimizer(preprocessor, tmp_path):
    """Keras wraps the optimizer for float16 only once."""
    model = make_model("primer_ez", None, num_layers=1, dtype="mixed_float16")
    model.compile(optimizer=keras.optimizers.Adam(3e-4), loss="auto", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    for variable in model.optimizer.variables:
        variable.assign(100 * rng.random(variable.shape))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, keras.optimizers.LossScaleOptimizer)
    assert isinstance(loaded.optimizer.inner_optimizer, keras.optimizers.Adam)
    assert loaded.jit_compile is False and loaded.get_compile_config()["jit_compile"] is False
    for a, b in zip(state(loaded), state(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_files_without_random_state_load(saved, tmp_path):
    """Such files come from earlier versions, and from models without random operations."""
    model = make_model("primer_ez", None, num_layers=1)
    model.save_weights(tmp_path / "a.weights.h5")
    other = make_model("primer_ez", None, num_layers=1, dropout=0.1)
    other.backbone.token_embedding.embeddings.assign(0 * other.backbone.token_embedding.embeddings)
    other.load_weights(tmp_path / "a.weights.h5")
    for a, b in zip(other.weights, model.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (a, b)))
