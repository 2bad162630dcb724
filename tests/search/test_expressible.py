"""Programs that layers compute are recognized, also after detours."""

import pytest

from primer_tf.errors import UserError
from primer_tf.programs import (
    Instruction,
    block_program,
    primer,
    primer_ez,
    transformer,
    transformer_plusplus,
)
from primer_tf.search.expressible import backbone_arguments


@pytest.mark.parametrize(
    "program, expected",
    [
        (transformer(4, score_scale=0.3), {"kernel_size": None, "activation": "relu"}),
        (primer_ez(2, 2), {"kernel_size": 3, "num_heads": 2, "intermediate_dim": 128}),
        (primer(8), {"shared_query_key": True, "placement": "alternating", "head_dim": 8}),
        (transformer_plusplus(8), {"gated": True, "normalization": "rms"}),
        (block_program(kernel_size=7), {"kernel_size": 7, "activation": "squared_relu"}),
    ],
)
def test_layers_that_compute_it(program, expected):
    found = backbone_arguments(program, hidden_dim=64)
    assert {name: found[name] for name in expected} == expected


def test_a_detour_changes_nothing():
    program = transformer(4)
    relu = [s.name for s in program.subprograms].index("relu")
    detour = program.with_subprogram(
        relu, (Instruction("max", 0), Instruction("max", 2), Instruction("multiply", 2, 3))
    )
    assert backbone_arguments(detour, 64)["activation"] == "squared_relu"


def test_what_layers_do_not_compute():
    program = transformer(4)
    relu = [s.name for s in program.subprograms].index("relu")
    with pytest.raises(UserError, match="do not express"):
        backbone_arguments(program.with_subprogram(relu, (Instruction("cos", 0),)), 64)
