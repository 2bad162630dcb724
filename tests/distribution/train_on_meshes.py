"""Trains and generates on meshes of four virtual devices, and prints what came out as JSON.

`python -m tests.distribution.train_on_meshes VOCABULARY MESH...` needs KERAS_BACKEND=jax, and
`--xla_force_host_platform_device_count=4` in XLA_FLAGS.
"""

import contextlib
import json
import re
import sys

import jax
import keras
import numpy as np

from primer_tf.distribution import parse_mesh
from primer_tf.distribution.make_distribution import make_distribution
from primer_tf.errors import UserError
from primer_tf.layers.replicas import num_replicas
from primer_tf.losses.linear_cross_entropy import linear_cross_entropy
from primer_tf.models import (
    PrimerBackbone,
    PrimerCausalLM,
    PrimerCausalLMPreprocessor,
    PrimerTokenizer,
    fused_loss,
)
from primer_tf.optimizers import T5Adafactor
from tests.distribution.meshes import ARCHITECTURES, ERRORS, PROMPTS, STEPS
from tests.models.small_models import VARIANTS

SHAPE = {
    "vocabulary_size": 320,
    "num_layers": 1,
    "hidden_dim": 32,
    "intermediate_dim": 64,
    "num_heads": 4,
    "head_dim": 8,
    "max_sequence_length": 32,
}
# The loss of the 128 tokens of a batch is computed in several chunks, also on four replicas.
fused_loss.CHUNK_ELEMENTS = 8 * SHAPE["vocabulary_size"]


def distribution_of(mesh):
    if mesh == "none":
        return None
    shape = parse_mesh(mesh)
    return make_distribution(shape, keras.distribution.list_devices()[: shape.devices])


def scope_of(mesh):
    return contextlib.nullcontext() if mesh == "none" else distribution_of(mesh).scope()


def spec(variable):
    return list(variable.value.sharding.spec) if hasattr(variable.value.sharding, "spec") else []


def train(architecture, vocabulary):
    """Returns the losses of all steps, text, and how weights and second moments are split."""
    keras.utils.set_random_seed(0)
    dropout = 0.1 if architecture == "switch" else 0.0
    backbone = PrimerBackbone(**{**SHAPE, **VARIANTS[architecture], "dropout": dropout})
    preprocessor = PrimerCausalLMPreprocessor(PrimerTokenizer(vocabulary), sequence_length=16)
    model = PrimerCausalLM(backbone, preprocessor)
    trained = PrimerCausalLM(backbone)
    trained.compile(T5Adafactor(0.05, min_dim_size_to_factor=16))
    tokens = np.random.default_rng(0).integers(3, 300, (STEPS, 8, 16)).astype("int32")
    losses = []
    for batch in tokens:
        x = {"token_ids": batch, "padding_mask": np.ones_like(batch)}
        y = np.roll(batch, -1, axis=1)
        losses += trained.fit(x, y, batch_size=8, verbose=0).history["loss"]
    evaluated = trained.evaluate(x, y, batch_size=8, verbose=0) if architecture == "primer" else []
    model.compile(sampler="greedy")
    slots = {
        f"{weight.path}:{kind}": [list(slot.shape), spec(slot)]
        for weight in backbone.trainable_variables
        for kind, slot in trained.optimizer.slots(weight).items()
    }
    return {
        "losses": losses,
        "evaluated": evaluated,
        "texts": model.generate(PROMPTS),
        # With as many replicas as prompts, the function is compiled already.
        "text": model.generate(PROMPTS[0]) if num_replicas() == 4 else "",
        "weights": {weight.path: [list(weight.shape), spec(weight)] for weight in backbone.weights},
        "slots": slots,
    }


def compiled_loss(mesh):
    """Returns the FLOPs of one device in one chunk of the loss, and the shapes it gathers."""
    classes, channels, tokens = 640, 32, 256
    distribution = distribution_of(mesh)

    def loss(hidden, table, targets):
        weights = keras.ops.ones(tokens)
        return linear_cross_entropy(hidden, table, targets, weights, chunk_elements=16 * classes)[0]

    arguments = [
        np.ones((tokens, channels), "float32"),
        np.ones((classes, channels), "float32"),
        np.ones(tokens, "int32"),
    ]
    if distribution is not None:
        batch, device_mesh = distribution.batch_dim_name, distribution.device_mesh
        model = "model" if "model" in device_mesh.axis_names else None
        axes = ((batch, None), (model, None), (batch,))
        layouts = (keras.distribution.TensorLayout(each, device_mesh) for each in axes)
        arguments = list(map(keras.distribution.distribute_tensor, arguments, layouts))
    compiled = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(*arguments).compile()
    gathered = re.findall(r"= \w+\[([\d,]*)\]\S* all-gather", compiled.as_text())
    shapes = [[int(size) for size in shape.split(",")] for shape in gathered if shape]
    return {"flops": compiled.cost_analysis()["flops"], "gathered": shapes}


def error_of(mesh, arguments):
    """Returns the message of the error when a model is made on a mesh."""
    try:
        devices = keras.distribution.list_devices()
        with make_distribution(parse_mesh(mesh), devices).scope():
            PrimerBackbone(**{**SHAPE, **arguments})
    except UserError as error:
        return str(error)
    return ""


def main():
    vocabulary, *meshes = sys.argv[1:]
    results = {}
    for mesh in meshes:
        with scope_of(mesh):
            results[mesh] = {
                **{each: train(each, vocabulary) for each in ARCHITECTURES},
                "loss": compiled_loss(mesh),
            }
    results["errors"] = [error_of(mesh, arguments) for mesh, arguments, _ in ERRORS]
    print(json.dumps(results))


if __name__ == "__main__":
    main()
