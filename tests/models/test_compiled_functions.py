"""Compiled functions see later changes of a model without another `compile`."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.data import TokenChunks
from primer_tf.data.text_length import TextLength
from primer_tf.evaluation.evaluator import Evaluator
from primer_tf.layers.xla import compiled_by_xla
from primer_tf.losses import NextTokenLoss
from primer_tf.models import PrimerCausalLM
from primer_tf.optimizers import RsqrtSchedule, T5Adafactor
from primer_tf.samplers import GreedySampler
from tests.models.small_models import make_model

pytestmark = pytest.mark.filterwarnings("ignore")
IDS = np.random.default_rng(0).integers(3, 290, (4, 8)).astype("int32")
INPUTS = {"token_ids": IDS, "padding_mask": np.ones_like(IDS)}
PROMPTS = {"token_ids": IDS, "padding_mask": np.tile((np.arange(8) < 4).astype("int32"), (4, 1))}


def slow(name, among):
    """Returns parameters of which one is not in the default run."""
    return [pytest.param(each, marks=[pytest.mark.slow] * (each == name)) for each in among]


def make_small():
    """Returns a model without convolutions, which would only take time to trace."""
    return make_model("transformer", None, num_layers=1)


def randomize(model):
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(rng.standard_normal(variable.shape))


def enable_lora(model):
    model.backbone.enable_lora(2)
    randomize(model)


def quantize(part):
    part.quantize("int8")


CHANGES = {
    "lora": enable_lora,
    "int8 backbone": lambda model: quantize(model.backbone),
    "int8 then lora": lambda model: (quantize(model), enable_lora(model)),
    "weights": randomize,
}


def outputs(model):
    scores = model.evaluate(INPUTS, IDS, verbose=0)
    texts = model.generate(dict(PROMPTS), stop_token_ids=None)["token_ids"]
    return [np.array(scores), model.predict(INPUTS, verbose=0), texts]


def compile_greedy(model):
    optimizer = keras.optimizers.SGD(0.1)
    model.compile(optimizer, NextTokenLoss(), jit_compile=False, sampler="greedy")


@pytest.mark.parametrize("change", slow("int8 backbone", among=CHANGES))
def test_changes_are_seen_without_compile(change):
    model = make_small()
    compile_greedy(model)
    evaluator = Evaluator(model, TokenChunks(IDS.reshape(-1), 8), TextLength(1, 1), 4)
    before, evaluated = outputs(model), evaluator().loss
    CHANGES[change](model)
    seen, now = outputs(model), evaluator().loss
    compile_greedy(model)
    for actual, expected, old in zip(seen, outputs(model), before, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
        # int8 changes the numbers, but rarely the text.
        assert np.abs(actual - old).max() > 1e-4 or (change == "int8 backbone" and old.ndim == 2)
    expected = Evaluator(model, TokenChunks(IDS.reshape(-1), 8), TextLength(1, 1), 4)().loss
    assert now == pytest.approx(expected, rel=1e-5) and abs(now - evaluated) > 1e-4


OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.5),
    "adafactor": lambda: T5Adafactor(0.1),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
}


@pytest.mark.parametrize("optimizer", slow("momentum", among=OPTIMIZERS))
def test_training_continues_with_the_weights_that_are_trainable_now(optimizer):
    """Frozen weights stay, others continue as if all were trained, new ones start from scratch."""
    model = make_small()
    start = model.get_weights()
    embedding = model.backbone.token_embedding
    data = {"x": INPUTS, "y": IDS, "batch_size": 4, "shuffle": False, "verbose": 0}
    trained = []
    for freeze in (False, True):
        model.set_weights(start)
        embedding.trainable = True
        model.compile(OPTIMIZERS[optimizer](), NextTokenLoss(), jit_compile=False)
        model.fit(**data, epochs=2)
        middle = ops.convert_to_numpy(embedding.embeddings)
        if freeze:
            embedding.trainable = False
        model.fit(**data)
        trained.append([ops.convert_to_numpy(v) for v in model.weights])
        moved = np.abs(ops.convert_to_numpy(embedding.embeddings) - middle).max()
        assert (moved == 0) == freeze
    for weight, all_trained, rest_trained in zip(model.weights, *trained, strict=True):
        if weight is not embedding._embeddings:
            np.testing.assert_allclose(rest_trained, all_trained, rtol=1e-4, atol=1e-5)
    assert int(model.optimizer.iterations if optimizer != "scaled" else 3) == 3

    model.backbone.enable_lora(2)
    before = [ops.convert_to_numpy(v) for v in model.weights]
    model.fit(**data, epochs=2)
    moved = {
        v.path.split("/")[-1]
        for v, old in zip(model.weights, before, strict=True)
        if np.abs(ops.convert_to_numpy(v) - old).max() > 0
    }
    assert moved == {"lora_kernel_a", "lora_kernel_b"}


@pytest.mark.parametrize("change", ["another", "in place"])
def test_a_sampler_is_seen_without_compile(change):
    import keras_hub

    model = make_small()
    model.compile(jit_compile=False, sampler=keras_hub.samplers.TopKSampler(k=1))
    greedy = model.generate(dict(PROMPTS), stop_token_ids=None)["token_ids"]
    if change == "another":
        model.sampler = keras_hub.samplers.RandomSampler(temperature=50.0)
    else:
        model.sampler.k, model.sampler.temperature = 300, 50.0
    drawn = model.generate(dict(PROMPTS), stop_token_ids=None)["token_ids"]
    assert (drawn[:, 4:] != greedy[:, 4:]).any()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others ask for no choice")
@pytest.mark.parametrize("jit_compile, expected", [("auto", True), (False, False), (True, True)])
def test_generation_is_compiled_by_its_own_choice(jit_compile, expected):
    class Sampler(GreedySampler):
        def compute_probabilities(self, logits):
            seen.append((compiled_by_xla(), model.jit_compile))
            return super().compute_probabilities(logits)

    seen = []
    model = make_small()
    model.compile(jit_compile=jit_compile, sampler=Sampler())
    training = model.jit_compile
    model.generate(dict(PROMPTS), stop_token_ids=None)
    assert set(seen) == {(expected, training)}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts TensorFlow's traces")
def test_nothing_is_traced_again_without_a_change():
    model = make_small()
    compile_greedy(model)
    model.fit(INPUTS, IDS, verbose=0)
    outputs(model)
    names = ("train_function", "test_function", "predict_function", "generate_function")
    functions = [getattr(model, name) for name in names]
    model.fit(INPUTS, IDS, verbose=0)
    outputs(model)
    assert all(getattr(model, n) is f for n, f in zip(names, functions, strict=True))
    assert model.generate_function.experimental_get_tracing_count() == 1


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts TensorFlow's traces")
def test_nothing_is_traced_again_for_the_preprocessor(small_preset):
    """It makes a layer at its first text."""
    model = PrimerCausalLM.from_preset(str(small_preset))
    model.compile(sampler="greedy", jit_compile=False)
    model.generate("In the", max_length=12)
    function = model.generate_function
    model.generate("In the", max_length=12)
    assert model.generate_function is function


@pytest.mark.parametrize("compile_first", [True, False])
def test_lora_learns_by_default(compile_first):
    """With Adafactor, whose updates are relative to weights that start at zero, it does not."""
    falls = {}
    for optimizer in ("auto", T5Adafactor(RsqrtSchedule())):
        keras.utils.set_random_seed(0)
        model = make_small()
        if compile_first:
            model.compile(optimizer)
            model.backbone.enable_lora(4)
        else:
            model.backbone.enable_lora(4)
            model.compile(optimizer)
        losses = model.fit(INPUTS, IDS, epochs=24, verbose=0).history["loss"]
        falls[type(model.optimizer)] = losses[0] - losses[-1]
    assert falls[keras.optimizers.AdamW] > 0.1 > 10 * falls[T5Adafactor]


def test_the_default_optimizer_is_kept_where_lora_is_not():
    model = make_small()
    model.fit(INPUTS, IDS, verbose=0)
    model.backbone.token_embedding.trainable = False
    model.fit(INPUTS, IDS, verbose=0)
    assert type(model.optimizer) is T5Adafactor and int(model.optimizer.iterations) == 2


def test_lora_learns_after_weights_are_loaded(tmp_path):
    model = make_small()
    model.backbone.enable_lora(4)
    model.save_weights(tmp_path / "model.weights.h5")
    model.load_weights(tmp_path / "model.weights.h5")
    losses = model.fit(INPUTS, IDS, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.01
