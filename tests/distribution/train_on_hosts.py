"""Trains on a mesh of the devices of one or several processes, and prints the losses as JSON.

`python -m tests.distribution.train_on_hosts MESH [PORT HOST]` on JAX needs a number of devices in
XLA_FLAGS. The mesh `none` is one device, and `workers` are those that TF_CONFIG names.
"""

import contextlib
import json
import sys

import keras
import numpy as np

from primer_tf.data import TokenChunks
from primer_tf.data.repeatable_batches import repeatable_batches
from primer_tf.distribution import parse_mesh
from primer_tf.distribution.make_distribution import make_distribution
from primer_tf.distribution.start_hosts import start_hosts
from primer_tf.layers.replicas import part_of_batch
from primer_tf.models import PrimerBackbone, PrimerCausalLM
from primer_tf.optimizers import T5Adafactor
from tests.distribution.meshes import ARCHITECTURES
from tests.models.small_models import VARIANTS

STEPS, BATCH_SIZE, SEQUENCE_LENGTH = 20, 8, 16
SHAPE = {
    "vocabulary_size": 64,
    "num_layers": 1,
    "hidden_dim": 16,
    "intermediate_dim": 32,
    "num_heads": 4,
    "head_dim": 4,
    "max_sequence_length": 32,
}
# TensorFlow's replicas have noise of their own, and groups of their own tokens compete for experts.
RANDOM = {"dropout": 0.1}
NOT_RANDOM = {"dropout": 0.0, "router_jitter": 0.0, "group_size": BATCH_SIZE // 2 * SEQUENCE_LENGTH}


def losses(architecture):
    """Returns the loss of each step."""
    keras.utils.set_random_seed(0)
    noise = NOT_RANDOM if keras.backend.backend() == "tensorflow" else RANDOM
    backbone = PrimerBackbone(**{**SHAPE, **VARIANTS[architecture], **noise})
    model = PrimerCausalLM(backbone)
    model.compile(T5Adafactor(0.05, min_dim_size_to_factor=16))
    tokens = np.random.default_rng(0).integers(3, SHAPE["vocabulary_size"], 4000)
    chunks = TokenChunks(tokens, SEQUENCE_LENGTH)
    batches = repeatable_batches(
        lambda: chunks.training_batches(BATCH_SIZE, 0, 0, *part_of_batch())
    )
    found = []
    each = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: found.append(float(logs["loss"]))
    )
    keras.Model.fit(
        model, batches, steps_per_epoch=STEPS, shuffle=False, callbacks=[each], verbose=0
    )
    return found


def main():
    mesh, *place = sys.argv[1:]
    if place:
        port, host = place
        start_hosts(f"127.0.0.1:{port}", 2, int(host))
    scope = contextlib.nullcontext()
    if mesh == "workers":
        import tensorflow as tf

        scope = tf.distribute.MultiWorkerMirroredStrategy().scope()
    elif mesh != "none":
        scope = make_distribution(parse_mesh(mesh)).scope()
    with scope:
        print(json.dumps({each: losses(each) for each in ARCHITECTURES}))


if __name__ == "__main__":
    main()
