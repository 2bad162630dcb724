"""The registry entry of each kind of sublayer describes its layer."""

import math
import re

import keras
import pytest

from primer_tf.sublayers import (
    Sublayer,
    get_sublayer,
    make_sublayer,
    register_sublayer,
    sublayer_names,
)

CHANNELS = 12
ARGUMENTS = {
    "hidden_dim": CHANNELS,
    "num_heads": 3,
    "head_dim": 4,
    "kernel_size": 3,
    "shared_query_key": False,
    "initializer_scale": 1.0,
    "intermediate_dim": 10,
    "activation": "relu",
    "gated": False,
    "dropout": 0.0,
    "max_sequence_length": 8,
    "synthesizer_length": 9,
    "num_experts": 4,
    "capacity_factor": 1.0,
    "eval_capacity_factor": 1.0,
    "min_expert_capacity": 1,
    "group_size": 16,
    "router_jitter": 0.0,
    "load_balance_loss": 0.0,
    "router_z_loss": 0.0,
}
OPTIONS = {
    "default": {},
    "plain": {"kernel_size": None},
    "shared": {"shared_query_key": True},
    "gated": {"gated": True},
}
KINDS = [
    "attention",
    "double_heads_attention",
    "synthesizer_attention",
    "evolved_convolution",
    "feed_forward",
    "switch_feed_forward",
    "query_dconv_attention",
    "key_dconv_attention",
    "value_dconv_attention",
    "token_shift_attention",
]


def cache_size(layer, length):
    nest = layer.build_cache(1, length) if layer.mixes_positions else ()
    return sum(math.prod(leaf.shape) for leaf in keras.tree.flatten(nest))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", KINDS)
def test_declaration_describes_the_layer(name, options):
    arguments = {**ARGUMENTS, **OPTIONS[options]}
    kind, layer = get_sublayer(name), make_sublayer(name, arguments)
    layer.build((None, None, CHANNELS))
    shapes = {w.path.removeprefix(f"{name}/"): w.shape for w in layer.weights}
    for path, shape in shapes.items():
        axes = [axes for pattern, axes in kind.axes.items() if re.fullmatch(pattern, path)]
        assert [len(each) for each in axes] == [len(shape)], path
    if kind.mesh:
        assert shapes.keys() <= kind.mesh_layer(arguments).variables(arguments).keys()
    cost = kind.cost(arguments)
    assert cost.parameters == layer.count_params()
    assert cost.cache_values == cache_size(layer, 8) - cache_size(layer, 7)
    assert (kind.num_heads and kind.num_heads(arguments)) == getattr(layer, "num_heads", None)


@pytest.mark.parametrize("name", KINDS)
def test_all_axes_are_of_some_weight(name):
    paths = set()
    for options in OPTIONS.values():
        layer = make_sublayer(name, {**ARGUMENTS, **options})
        layer.build((None, None, CHANNELS))
        paths |= {weight.path.removeprefix(f"{name}/") for weight in layer.weights}
    for pattern in get_sublayer(name).axes:
        assert any(re.fullmatch(pattern, path) for path in paths), pattern


def test_all_kinds_are_tested():
    # For "program" see tests/programs.
    assert sorted([*KINDS, "program"]) == sorted(sublayer_names())


def test_names_of_sublayers_are_unique():
    kind = get_sublayer("attention")
    with pytest.raises(ValueError, match="'attention' already; choose another name"):
        register_sublayer(Sublayer("attention", kind.layer, kind.cost, kind.axes))
