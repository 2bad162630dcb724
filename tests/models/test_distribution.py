"""Training on strings with TensorFlow's `MirroredStrategy` equals training on one device."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

SCRIPT = """
import json, sys

import keras
import tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from tests.models.small_models import make_model
from primer_tf.models import PrimerCausalLMPreprocessor, PrimerTokenizer

vocabulary, texts, length = sys.argv[1], json.loads(sys.argv[2]), 12
results = []
for strategy in (tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), tf.distribute.get_strategy()):
    with strategy.scope():
        preprocessor = PrimerCausalLMPreprocessor(PrimerTokenizer(vocabulary), length)
        model = make_model("primer_ez", preprocessor, num_layers=1)
        model.compile(keras.optimizers.SGD(0.3, momentum=0.5), jit_compile=False)
    history = model.fit(texts, batch_size=4, epochs=10, verbose=0).history
    model.backbone.token_embedding.trainable = False  # Keras builds a new optimizer
    frozen = model.fit(texts, batch_size=4, verbose=0).history
    scores = model.evaluate(texts, batch_size=4, verbose=0)
    sums = [float(tf.reduce_sum(tf.abs(v))) for v in model.weights]
    replicas = strategy.num_replicas_in_sync
    results.append({"replicas": replicas, "history": history, "frozen": frozen, "scores": scores,
                    "sums": sums})
print(json.dumps(results))
"""


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's strategies")
def test_strings_under_a_mirrored_strategy(vocabulary_file, request):
    # All rows are full, so the mean of the replicas' means is the mean of all tokens.
    texts = [
        f"{word} said, Let there be light: and there was light." * 2
        for word in ("And God", "He", "Moses", "And she", "They all", "Abram", "No one", "I have")
    ]
    command = [sys.executable, "-c", SCRIPT, str(vocabulary_file), json.dumps(texts)]
    done = subprocess.run(
        command, cwd=request.config.rootpath, capture_output=True, text=True, check=True
    )
    mirrored, single = json.loads(done.stdout.splitlines()[-1])
    assert (mirrored.pop("replicas"), single.pop("replicas")) == (2, 1)
    assert single["scores"][1] > 0.1, "the accuracy must be high enough to compare"
    for key, values in single.items():
        if isinstance(values, dict):
            for name, numbers in values.items():
                np.testing.assert_allclose(mirrored[key][name], numbers, rtol=1e-3, atol=1e-5)
        else:
            np.testing.assert_allclose(mirrored[key], values, rtol=1e-3)


def test_no_input_is_boolean(preprocessor):
    """`tf.distribute` does not support booleans, and the docstring promises integers."""
    import tensorflow as tf

    texts = ["And God said", "In the beginning God created the heaven and the earth"]
    for x, y, weights in (
        preprocessor(texts),
        next(iter(tf.data.Dataset.from_tensor_slices(texts).batch(2).map(preprocessor))),
    ):
        types = [keras.backend.standardize_dtype(v.dtype) for v in (*x.values(), y, weights)]
        assert types == ["int32", "int32", "int32", "float32"]
        lengths = np.asarray(x["padding_mask"]).sum(axis=1)
        assert 1 < lengths[0] < lengths[1] <= 24 and set(np.unique(weights)) <= {0.0, 1.0}
