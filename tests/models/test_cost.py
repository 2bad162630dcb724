"""The computed cost agrees with the models, with TensorFlow's profiler, and with XLA's memory."""

import contextlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest

from primer_tf.gin_config.presets import preset_arguments, preset_names, preset_parameters
from primer_tf.models import PrimerBackbone, PrimerCausalLM
from primer_tf.models.cost import model_cost

TINY = [name for name in preset_names() if name.startswith("tiny_")]
LENGTH = 64


@pytest.mark.parametrize("name", preset_names())
def test_parameters_are_those_of_the_presets(name):
    assert model_cost(preset_arguments(name)).parameters == preset_parameters(name)


def test_by_hand():
    """One head; Q, K, V, O are 2 x 2, the feed-forward 2 x 3 and 3 x 2, and the softmax 2 x 5."""
    sizes = {"vocabulary_size": 5, "hidden_dim": 2, "intermediate_dim": 3, "num_heads": 1}
    sizes |= {"head_dim": 2, "kernel_size": None, "num_layers": 1, "num_buckets": 4}
    cost = model_cost(sizes, sequence_length=7)
    forward = 4 * 2 * (2 * 2) + 2 * 2 * 2 * 7 + 2 * 2 * (2 * 3) + 2 * (2 * 5)
    assert (cost.decode_flops, cost.train_flops) == (forward, 3 * forward)
    weights = 5 * 2 + 4 * (2 * 2) + 2 * (2 * 3) + 3 + 2 + 3 * (2 + 2) + 4
    assert cost.parameters == cost.active_parameters == weights
    # Q, K, V, the weighted sum and 7 attention weights; 2 x 3 hidden values; 2 x 2 around each.
    assert cost.activation_values == 4 * 2 + 7 + 2 * 3 + 2 * (2 * 2) + 2 * 2


def test_a_token_has_the_cost_of_one_expert():
    few, many = (
        model_cost({**preset_arguments("tiny_switch_primer"), "num_experts": n}) for n in (2, 32)
    )
    router = 2 * 128
    assert many.parameters > 2 * few.parameters
    assert many.active_parameters - few.active_parameters == (32 - 2) * router // 2
    assert many.decode_flops - few.decode_flops == (32 - 2) * router


def test_gradient_checkpointing_trades_arithmetic_for_memory():
    arguments = preset_arguments("small_primer")
    plain = model_cost(arguments)
    checkpointed = model_cost({**arguments, "gradient_checkpointing": True})
    head = 2 * 512 * arguments["vocabulary_size"]
    assert checkpointed.train_flops - plain.train_flops == plain.decode_flops - head
    assert checkpointed.activation_values < plain.activation_values / 4


def test_unknown_argument():
    with pytest.raises(ValueError, match="no argument 'layers'"):
        model_cost({"layers": 2})


@pytest.fixture
def einsum_statistics():
    """Adds a rule for Einsum to TensorFlow's profiler: 2 for each combination of its indices."""
    from tensorflow.python.framework import ops

    def flops(graph, node):
        sizes = {}
        inputs = node.attr["equation"].s.decode().split("->")[0].split(",")
        for axes, name in zip(inputs, node.input, strict=True):
            tensor = graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
            sizes.update(zip(axes, tensor.shape.as_list(), strict=True))
        return ops.OpStats("flops", 2 * int(np.prod(list(sizes.values()))))

    with contextlib.suppress(KeyError):  # registered by the test before
        ops.RegisterStatistics("Einsum", "flops")(flops)


def profiled(model, length):
    """Returns FLOPs by type of operation in the forward graph of one sequence, without XLA."""
    import tensorflow as tf

    @tf.function
    def forward(ids):
        return model({"token_ids": ids, "padding_mask": tf.ones_like(ids)})

    graph = forward.get_concrete_function(tf.TensorSpec((1, length), tf.int32)).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    found, todo = Counter(), [tf.compat.v1.profiler.profile(graph, options=options, cmd="op")]
    while todo:
        node = todo.pop()
        found[node.name] += node.float_ops
        todo.extend(node.children)
    return found


@pytest.mark.parametrize("name", TINY)
def test_flops_against_tensorflows_profiler(name, einsum_statistics):
    """The products differ by at most 1%, and all elementwise work adds less than 8%.

    The profiler also counts normalization, softmax and activations, which we leave out. It counts
    convolutions as elementwise work, and the lookup of position biases as a small product.
    """
    arguments = {**preset_arguments(name), "num_layers": 1}
    # The experts have room for exactly as many tokens as there are.
    arguments["eval_capacity_factor"] = 1.0
    keras.backend.clear_session()
    found = profiled(PrimerCausalLM(PrimerBackbone(**arguments)), LENGTH)
    expected = LENGTH * model_cost(arguments, LENGTH).decode_flops
    kinds = ("MatMul", "BatchMatMulV2", "Einsum", "DepthwiseConv2dNative")
    assert sum(found[kind] for kind in kinds) == pytest.approx(expected, rel=0.01)
    assert expected < sum(found.values()) < 1.08 * expected


COMPILED = """
import sys
import jax
import jax.numpy as jnp
from primer_tf.models import PrimerBackbone
from primer_tf.models.cost import model_cost
from primer_tf.gin_config.presets import preset_arguments

arguments = {**preset_arguments(sys.argv[1]), "vocabulary_size": 64, "num_layers": 2}
model = PrimerBackbone(**arguments)
weights = [v.value for v in model.trainable_variables]
others = [v.value for v in model.non_trainable_variables]

def buffers(batch):
    ids = jnp.ones((batch, 64), "int32")
    inputs = {"token_ids": ids, "padding_mask": ids}

    def loss(weights):
        return (model.stateless_call(weights, others, inputs, training=True)[0] ** 2).sum()

    return jax.jit(jax.grad(loss)).lower(weights).compile().memory_analysis().temp_size_in_bytes

by_token = (buffers(16) - buffers(8)) / (8 * 64) / 4
print(by_token / model_cost(arguments, 64).activation_values)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny_transformer_vanilla", "tiny_primer", "tiny_switch_primer"])
def test_activation_memory_against_xlas_buffers(name):
    """XLA stores what the formulas of the gradients need, and at most as much again."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", COMPILED, name]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr
    assert 1.0 < float(result.stdout.split()[-1]) < 2.0
