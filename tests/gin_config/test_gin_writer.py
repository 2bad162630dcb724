"""Whatever a backbone can be, gin text says it and reads back as the same."""

import inspect
import itertools
import random

import pytest
from keras.src.activations import ALL_OBJECTS_DICT

from primer_tf.errors import UserError
from primer_tf.gin_config import gin_writer
from primer_tf.gin_config.gin_reader import read_text
from primer_tf.gin_config.model_arguments import backbone_arguments
from primer_tf.gin_config.presets import preset_arguments, preset_names
from primer_tf.gin_config.resolved_bindings import ResolvedBindings
from primer_tf.layers import activations
from primer_tf.models import PrimerBackbone
from primer_tf.sublayers import get_sublayer, sublayer_names
from primer_tf.sublayers.activations import ALIASES

DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(PrimerBackbone.__init__).parameters.items()
    if name not in ("self", "program", "dtype", "kwargs")
}

# Those kinds of sublayers that gin files can name.
WITH_MESH = [name for name in sublayer_names() if get_sublayer(name).mesh]

# Every value that is a choice, and for each number some that tell it from every other.
CHOICES = {
    "block": [
        ["attention", "feed_forward"],
        ["attention", "feed_forward", "attention", "switch_feed_forward"],
        ["feed_forward", "double_heads_attention", "evolved_convolution"],
        WITH_MESH,
    ],
    "kernel_size": [None, 1, 3, 7],
    "shared_query_key": [False, True],
    "gated": [False, True],
    "normalization": ["layer", "rms", "primer"],
    "placement": ["pre", "post", "alternating"],
    "gradient_checkpointing": [False, True],
}
NUMBERS = {
    "activation": ["relu", "squared_relu", "gelu", "gelu_tanh", "swish", "linear", "mish"],
    "vocabulary_size": [32128, 300, 8101],
    "num_layers": [1, 6],
    "hidden_dim": [512, 17],
    "intermediate_dim": [2048, 31],
    "num_heads": [8, 3],
    "head_dim": [64, 10],
    "dropout": [0.0, 0.1],
    "num_buckets": [32, 9],
    "max_distance": [128, 77],
    "max_sequence_length": [512, 64],
    "initializer_scale": [1.0, 0.1],
    "synthesizer_length": [512, 600],
    "num_experts": [32, 5],
    "capacity_factor": [1.25, 0.7],
    "eval_capacity_factor": [2.0, 1.1],
    "min_expert_capacity": [4, 1],
    "group_size": [1024, 50],
    "router_jitter": [0.01, 0.0],
    "load_balance_loss": [0.01, 0.3],
    "router_z_loss": [0.0, 0.02],
}

# Arguments of layers that a block may not have.
USED_BY = {
    "attention": ("kernel_size", "shared_query_key"),
    "heads": ("num_heads", "head_dim", "num_buckets", "max_distance"),
    "feed_forward": ("intermediate_dim", "activation", "gated"),
    "synthesizer": ("synthesizer_length",),
    "switch": (
        "num_experts",
        "capacity_factor",
        "eval_capacity_factor",
        "min_expert_capacity",
        "group_size",
        "router_jitter",
        "load_balance_loss",
        "router_z_loss",
    ),
}


def unused(block):
    present = {
        "attention": "attention" in block,
        "heads": any(name.endswith("attention") for name in block),
        "feed_forward": any(name.endswith("feed_forward") for name in block),
        "synthesizer": "synthesizer_attention" in block,
        "switch": "switch_feed_forward" in block,
    }
    return {name for user, names in USED_BY.items() if not present[user] for name in names}


def read(text):
    return backbone_arguments(ResolvedBindings(read_text(text, "the text"), note=pytest.fail))


def check(arguments):
    found = read(gin_writer.write(arguments))
    expected = {k: v for k, v in arguments.items() if k not in unused(arguments["block"])}
    if "router_z_loss" in expected:
        z_loss = found.pop("router_z_loss")
        assert z_loss == pytest.approx(expected.pop("router_z_loss"), rel=1e-15)
    found = {k: v for k, v in found.items() if k not in unused(arguments["block"])}
    assert found == expected


def test_every_argument_is_drawn():
    assert CHOICES.keys() | NUMBERS.keys() == DEFAULTS.keys()
    assert sum(map(len, USED_BY.values())) == len(set().union(*USED_BY.values()))


def test_every_combination_of_choices():
    draw = random.Random(0)
    for values in itertools.product(*CHOICES.values()):
        numbers = {name: draw.choice(options) for name, options in NUMBERS.items()}
        check({**numbers, **dict(zip(CHOICES, values, strict=True))})


@pytest.mark.parametrize("name", NUMBERS)
def test_every_value_by_itself(name):
    for value, *block in itertools.product(NUMBERS[name], WITH_MESH):
        check({**DEFAULTS, "block": block, name: value})


@pytest.mark.parametrize("name", preset_names())
def test_every_preset(name):
    check({**DEFAULTS, **preset_arguments(name)})


def test_every_activation_or_an_error_that_names_it():
    without = {"glu", "log_softmax", "softmax", "sparsemax", "threshold"}
    for name in filter(None, {**ALL_OBJECTS_DICT, **activations.ACTIVATIONS}):
        arguments = {**DEFAULTS, "block": list(DEFAULTS["block"]), "activation": name}
        if name in without:
            with pytest.raises(UserError, match=f"no counterpart of the activation '{name}'"):
                gin_writer.write(arguments)
        else:
            found = read(gin_writer.write(arguments))["activation"]
            assert found == ALIASES.get(name, name)


def test_a_z_loss_that_mesh_tensorflow_cannot_have():
    losses = {"load_balance_loss": 0.0, "router_z_loss": 0.1}
    with pytest.raises(UserError, match="no router_z_loss .* without a load_balance_loss"):
        gin_writer.write({**DEFAULTS, "block": ["switch_feed_forward"], **losses})
