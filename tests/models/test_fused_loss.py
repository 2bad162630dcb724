"""`fit` and `evaluate` without logits equal Keras' own with logits, for any arguments."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.data import TokenChunks
from primer_tf.data.text_length import TextLength
from primer_tf.evaluation.evaluator import Evaluator
from primer_tf.losses import NextTokenLoss
from primer_tf.models import PrimerCausalLM, PrimerCausalLMPreprocessor, PrimerTokenizer
from primer_tf.models.hidden_states_trainer import HiddenStatesTrainer
from tests.models.small_models import make_model

IDS = np.random.default_rng(0).integers(3, 290, (8, 24)).astype("int32")
INPUTS = {"token_ids": IDS, "padding_mask": np.ones_like(IDS)}
CLASSES = 320
# Without compilation these tests are faster, except on JAX.
EAGER = keras.backend.backend() != "jax"


@pytest.fixture(scope="module")
def model_and_weights():
    """A model and its weights."""
    model = make_model("primer_ez", None, num_layers=1)
    return model, model.get_weights()


def choose(rng, *options):
    return options[rng.integers(len(options))]


def draw_losses(rng):
    """Returns functions that make a loss for the model and an equal one for plain Keras."""
    reduction = "mean_with_sample_weight"
    if rng.random() < 0.1:
        reduction = choose(rng, "sum", "sum_over_batch_size")
    if rng.random() < 0.3:
        keras_loss = keras.losses.SparseCategoricalCrossentropy
        return lambda: NextTokenLoss(reduction=reduction), lambda: keras_loss(True, None, reduction)
    options = {"z_loss": choose(rng, 0.0, 1e-2), "label_smoothing": choose(rng, 0.0, 0.1)}
    return (lambda: NextTokenLoss(**options, reduction=reduction),) * 2


def typical_metric():
    return [keras.metrics.SparseCategoricalAccuracy()]


def draw_compile(rng, typical):
    metric = choose(
        rng,
        typical_metric,
        lambda: (keras.metrics.SparseCategoricalAccuracy("a"), "acc"),
        lambda: ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(3)],
        lambda: None,
    )
    kind = choose(rng, "weighted_metrics", "metrics")
    loss_weights = choose(rng, *[None] * 5, 0.5, [2.0])
    losses = draw_losses(rng)
    if typical:
        kind, metric = "weighted_metrics", typical_metric
    others = {"loss_weights": loss_weights, "weighted_metrics": None}
    return [{**others, "loss": loss(), kind: metric()} for loss in losses]


def draw_data(rng, model, any_labels, kind, typical):
    """Returns inputs, labels that the model predicts in part, and weights of any valid shape."""
    rows, length = (4, 6) if typical else choose(rng, (3, 3), (4, 1), (1, 5))
    ids = rng.integers(3, 290, (rows, length)).astype("int32")
    x = {"token_ids": ids, "padding_mask": (rng.random(ids.shape) < 0.9).astype("int32")}
    best = ops.convert_to_numpy(model(x)).argmax(axis=-1)
    labels = np.where(rng.random(ids.shape) < 0.5, best, rng.integers(0, CLASSES, ids.shape))
    kinds = (
        None,
        rng.random(ids.shape),
        rng.random(ids.shape) < 0.6,
        rng.integers(0, 3, ids.shape),
        np.zeros(ids.shape),
        rng.random(ids.shape) - 0.3,
        rng.random((rows, 1)),
        rng.random((*ids.shape, 1)),
        rng.random(rows),
    )
    weights = kinds[kind % len(kinds)]
    data = {"x": x}
    if weights is not None:
        weights = np.asarray(weights, choose(rng, "float32", "float64"))
        data["sample_weight"] = weights
        if weights.shape == ids.shape and any_labels and rng.random() < 0.5:
            labels = np.where(weights == 0, choose(rng, -100, CLASSES, 10**6), labels)
    elif rng.random() < 0.3:
        data["class_weight"] = {int(label): rng.random() for label in labels.flat}
    labels = labels.astype(choose(rng, "int32", "int64", "float32"))
    data["y"] = labels[..., None] if rng.random() < 0.3 and not typical else labels
    return data


def results(model, weights, compiled, data):
    """Returns metrics of a training step and an evaluation, or the error's type; and weights."""
    model.set_weights(weights)
    model.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=EAGER, **compiled)
    size = len(data["y"])
    evaluated = {key: value for key, value in data.items() if key != "class_weight"}
    try:
        fitted = model.fit(**data, batch_size=size, shuffle=False, verbose=0).history
        scores = model.evaluate(**evaluated, batch_size=size, verbose=0, return_dict=True)
    except Exception as error:  # whatever the backend raises for incompatible shapes
        return type(error), None
    return {**fitted, **{f"val_{k}": v for k, v in scores.items()}}, model.get_weights()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(24 if EAGER else 6))
def test_any_arguments_give_the_results_of_keras(model_and_weights, seed):
    model, weights = model_and_weights
    plain = keras.Model(model.inputs, model.outputs[0])  # Keras' own, with the same layers
    rng = np.random.default_rng(seed)
    typical = seed % 4 > 0
    given, same = draw_compile(rng, typical)
    any_labels = isinstance(same["loss"], NextTokenLoss)
    data = draw_data(rng, model, any_labels, seed, typical)
    expected, expected_weights = results(plain, weights, same, data)
    actual, actual_weights = results(model, weights, given, data)
    if expected_weights is None:
        assert actual_weights is None, actual
        return
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(actual[key], value, rtol=2e-5, atol=1e-6, err_msg=key)
    for without, with_logits in zip(actual_weights, expected_weights, strict=True):
        np.testing.assert_allclose(without, with_logits, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("by_fit", [True, False])
def test_without_a_mask_all_tokens_are_real(fused, by_fit):
    model = make_model("primer_ez", None, num_layers=1)
    weights = model.get_weights()
    y = np.roll(IDS, -1, axis=1).astype("int32")
    found = []
    for x in ({"token_ids": IDS}, INPUTS):  # Without one first, when nothing is built.
        loss_weights = None if fused else 1.0
        model.compile(keras.optimizers.SGD(0.1), loss=NextTokenLoss(), loss_weights=loss_weights)
        model.set_weights(weights)
        if by_fit:
            batches = ((x, y) for _ in range(2))
            history = keras.Model.fit(model, batches, steps_per_epoch=2, verbose=0).history
            losses = history["loss"]
        else:
            losses = [model.train_on_batch(x, y, return_dict=True)["loss"] for _ in range(2)]
        found.append([*losses, model.test_on_batch(x, y, return_dict=True)["loss"]])
    np.testing.assert_allclose(*found, rtol=1e-6)


@pytest.mark.parametrize(
    "dtype", [pytest.param("float64", marks=pytest.mark.slow), "mixed_bfloat16"]
)
def test_compiled_training_is_the_same_with_logits(dtype):
    """This includes gradient checkpointing, several batches and, in half precision, ties."""
    if dtype == "float64" and keras.backend.backend() == "jax":
        dtype = "float32"  # JAX supports float64 only for whole processes
    model = make_model("primer_ez", None, num_layers=1, gradient_checkpointing=True, dtype=dtype)
    weights = model.get_weights()
    best = ops.convert_to_numpy(ops.cast(model(INPUTS), "float32")).argmax(axis=-1)
    rng = np.random.default_rng(1)
    y = np.where(rng.random(IDS.shape) < 0.5, best, np.roll(IDS, -1, axis=1)).astype("int32")
    data = {"x": INPUTS, "y": y, "sample_weight": rng.random(IDS.shape).astype("float32")}
    histories, trained = [], []
    for each in (model, keras.Model(model.inputs, model.outputs[0])):
        model.set_weights(weights)
        metrics = {"weighted_metrics": [keras.metrics.SparseCategoricalAccuracy()]}
        each.compile(keras.optimizers.SGD(0.1), loss=NextTokenLoss(1e-2, 0.1), **metrics)
        options = {"batch_size": 4, "epochs": 2, "shuffle": False, "verbose": 0}
        histories.append(each.fit(**data, validation_data=tuple(data.values()), **options).history)
        trained.append(model.get_weights())
    half = dtype == "mixed_bfloat16"
    assert 0.1 < histories[1]["sparse_categorical_accuracy"][0] < 0.9
    for key, values in histories[1].items():
        if not (half and "accuracy" in key):  # Keras rounds the labels
            assert histories[0][key] == pytest.approx(values, rel=2e-3 if half else 1e-5)
    for without, with_logits in zip(*trained, strict=True):
        np.testing.assert_allclose(without, with_logits, rtol=1e-4, atol=5e-3 if half else 1e-6)


class OwnLoss(NextTokenLoss):
    """A loss that the model does not know, which therefore receives logits."""


class OwnMetrics(PrimerCausalLM):
    """A user's model that overrides a method with logits as an argument."""

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        assert y_pred.shape[-1] == CLASSES
        return super().compute_metrics(x, y, y_pred, sample_weight)


def test_logits_are_computed_only_if_needed(monkeypatch):
    model = make_model("primer_ez", None, num_layers=1)
    model.compile(run_eagerly=EAGER)
    data = {"x": INPUTS, "y": IDS, "verbose": 0}
    model.fit(**data)  # Keras first computes the shapes of all outputs, including logits
    model.evaluate(**data)
    call = model.backbone.token_embedding.call

    def embed(inputs, reverse=False):
        # Evaluation asks for the logits of a chunk of tokens, `[N, C]`.
        assert not reverse or len(inputs.shape) == 2, "logits"
        return call(inputs, reverse=reverse)

    monkeypatch.setattr(model.backbone.token_embedding, "call", embed)
    model.make_train_function(force=True)
    model.make_test_function(force=True)
    model.fit(**data)
    model.evaluate(**data)
    own = OwnMetrics(model.backbone)
    for each, kwargs in (
        (model, {"loss": OwnLoss()}),
        (model, {"weighted_metrics": ["accuracy"]}),
        (model, {"metrics": ["mse"]}),
        (own, {}),
    ):
        each.compile(**kwargs, run_eagerly=EAGER)
        with pytest.raises(Exception, match="logits"):
            each.fit(**data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "run, label", [("fit", -100), ("evaluate", CLASSES), ("train_on_batch", -1), ("dataset", 10**6)]
)
def test_labels_out_of_range(model_and_weights, run, label):
    """They are errors, but ignored if their weight is zero. They never give a finite loss."""
    model, weights = model_and_weights
    model.set_weights(weights)
    model.compile(run_eagerly=EAGER)
    y, sample_weight = IDS.copy(), np.ones(IDS.shape, "float32")
    y[2, 5] = label

    def loss():
        if run == "dataset":
            import tensorflow as tf

            data = tf.data.Dataset.from_tensor_slices((INPUTS, y, sample_weight)).batch(8)
            return model.evaluate(data, verbose=0)[0]
        method = getattr(model, run)
        verbose = {} if run == "train_on_batch" else {"verbose": 0}
        result = method(INPUTS, y, sample_weight=sample_weight, **verbose)
        return result.history["loss"][0] if run == "fit" else result[0]

    with pytest.raises(Exception, match=f"Labels must be token ids from 0 to {CLASSES - 1}"):
        loss()
    # Without that check, the loss is NaN instead of a plausible number.
    arguments = {"y_pred": model(INPUTS), "y": y, "sample_weight": sample_weight}
    fused = {**arguments, "y_pred": model.backbone(INPUTS)}
    for training in (False, True):
        assert np.isnan(float(model.compute_loss(**arguments, training=training)))
        trainer = HiddenStatesTrainer(model, [])
        assert np.isnan(float(trainer.compute_loss(**fused, training=training)))
    sample_weight[2, 5] = 0.0
    ignored = loss()
    model.set_weights(weights)
    y[2, 5] = 0
    assert ignored == pytest.approx(loss(), rel=1e-6)


def quantize(model, mode):
    targets = ["query", "value", "token_embedding"]
    for step in mode.split("+"):
        if step == "lora":
            model.backbone.enable_lora(2, target_layer_names=targets)
            rng = np.random.default_rng(1)
            for variable in model.trainable_variables:
                variable.assign(rng.standard_normal(variable.shape))
        else:
            model.quantize(step)


@pytest.mark.filterwarnings("ignore")
def test_evaluation_has_nothing_to_build(vocabulary):
    """Or Keras on JAX would run a batch of each evaluation operation by operation."""
    preprocessor = PrimerCausalLMPreprocessor(PrimerTokenizer(vocabulary), IDS.shape[1])
    assert not preprocessor.built
    evaluate = Evaluator(
        make_model("primer_ez", preprocessor, num_layers=1),
        TokenChunks(IDS.reshape(-1), IDS.shape[1]),
        TextLength(1, 1),
        4,
    )
    assert all(layer.built for layer in evaluate.sums._flatten_layers())


@pytest.mark.parametrize(
    "mode",
    [
        "int8",
        "lora",
        pytest.param("int4", marks=pytest.mark.slow),
        pytest.param("float8", marks=pytest.mark.slow),
        pytest.param("int8+lora", marks=pytest.mark.slow),
    ],
)
def test_quantized_and_adapted_models(mode):
    """Code that reads the embedding without its layer gives the same results as the layer."""
    model = make_model("primer_ez", None, num_layers=1)
    before = ops.convert_to_numpy(model(INPUTS))
    quantize(model, mode)
    # The targets of chunks are their inputs, shifted.
    shifted = np.concatenate([np.zeros_like(IDS[:, :1]), IDS[:, :-1]], axis=1)
    inputs = {"token_ids": shifted, "padding_mask": np.ones_like(shifted)}
    logits = ops.convert_to_numpy(model(inputs)).astype("float64")
    assert np.abs(ops.convert_to_numpy(model(INPUTS)) - before).max() > 1e-4
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -np.take_along_axis(log_probs, IDS[..., None], axis=-1)[..., 0].mean()
    evaluation = Evaluator(model, TokenChunks(IDS.reshape(-1), IDS.shape[1]), TextLength(1, 1), 4)()
    assert evaluation.loss == pytest.approx(expected, rel=1e-5)
    optimizer = keras.optimizers.SGD(0.0)
    eager = EAGER and mode != "float8"  # Keras cannot train float8 eagerly
    model.compile(
        optimizer, NextTokenLoss(), jit_compile=False, sampler="greedy", run_eagerly=eager
    )
    assert model.evaluate(inputs, IDS, verbose=0)[0] == pytest.approx(expected, rel=1e-5)
    fitted = model.fit(inputs, IDS, batch_size=8, verbose=0).history["loss"][0]
    assert fitted == pytest.approx(expected, rel=1e-5)
    # Cached decoding equals the full forward pass.
    prompts = {"token_ids": IDS[:2].copy(), "padding_mask": np.zeros_like(IDS[:2])}
    prompts["padding_mask"][:, :20] = 1
    ids = model.generate(prompts, stop_token_ids=None)["token_ids"]
    logits = model({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    best = ops.convert_to_numpy(logits).argmax(axis=-1)
    np.testing.assert_array_equal(ids[:, 20:], best[:, 19:-1])


def test_evaluation_of_a_text_counts_every_token_once():
    model = make_model("primer_ez", None)
    tokens = np.random.default_rng(1).integers(3, 290, 100)
    chunks = TokenChunks(tokens, sequence_length=8)
    evaluation = Evaluator(model, chunks, text=TextLength(300, 60), batch_size=4)()
    losses, correct = [], []
    for start in range(0, 100, 8):
        targets = tokens[start : start + 8]
        ids = np.concatenate([[0], targets[:-1]])[None].astype("int32")
        logits = model({"token_ids": ids, "padding_mask": np.ones_like(ids)})
        logits = ops.convert_to_numpy(logits)[0].astype("float64")
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        losses.extend(-log_probs[np.arange(len(targets)), targets])
        correct.extend(logits.argmax(-1) == targets)
    assert len(losses) == evaluation.tokens == 100
    assert evaluation.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert evaluation.accuracy == pytest.approx(np.mean(correct))
    assert evaluation.bits_per_byte == pytest.approx(np.sum(losses) / np.log(2) / 300, rel=1e-5)
