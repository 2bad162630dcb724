"""Programs as data, their shapes, and why they are rejected."""

import dataclasses

import pytest

from primer_tf.errors import UserError
from primer_tf.programs import (
    PRIMITIVES,
    Instruction,
    InvalidProgram,
    Program,
    Subprogram,
    infer_graph,
    listing,
    program_cost,
    transformer,
)
from primer_tf.programs.drawing import to_svg
from primer_tf.programs.library import LIBRARY


def program(*instructions, **banks):
    banks = {"constants": (0.5,), "dimensions": (8, 16, 3), **banks}
    return Program((Subprogram("main", instructions),), **banks)


@pytest.mark.parametrize("name", LIBRARY)
def test_json_keeps_everything(name):
    original = LIBRARY[name]()
    assert Program.from_json(original.to_json()) == original


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"subprograms": [{"name": "main"}]}', '{"subprograms": 3}']
)
def test_text_that_is_no_program(text):
    with pytest.raises(UserError, match="no program in JSON"):
        Program.from_json(text)


@pytest.mark.parametrize(
    "instructions, reason",
    [
        ([Instruction("cube")], "neither a primitive nor a later subprogram"),
        ([Instruction("main")], "neither a primitive nor a later subprogram"),
        ([Instruction("square", 2)], "a state that does not exist yet"),
        ([Instruction("max", constant=1)], "constant 1"),
        ([Instruction("conv_1x1", dimension=9)], "dimension 9"),
        ([Instruction("square", branches=3)], "3 branches"),
        ([], "no instructions"),
    ],
)
def test_a_malformed_program_is_rejected(instructions, reason):
    with pytest.raises(InvalidProgram, match=reason):
        program(*instructions)


SCORES = Instruction("transposed_matmul")


@pytest.mark.parametrize(
    "instructions, reason",
    [
        ([Instruction("conv_1x1", dimension=1)], "main returns 32 channels instead of 16"),
        ([Instruction("reduce_sum")], "main returns 1 channel instead of 16"),
        ([SCORES], "main returns scores"),
        ([SCORES, Instruction("reduce_max", 2)], "causal mask"),
        ([SCORES, Instruction("matmul", 2, 0)], "causal mask"),
        ([SCORES, Instruction("conv_1x1", 2)], "scores are given where channels"),
        ([SCORES, Instruction("add", 2, 0)], "scores and 16 channels do not broadcast"),
        ([Instruction("causal_mask")], "channels are given where scores"),
        ([Instruction("matmul")], "matmul takes scores"),
        ([Instruction("conv_1x1", dimension=1), Instruction("add", 0, 2)], "do not broadcast"),
        ([Instruction("transposed_matmul", branches=2)], "returns scores"),
        ([Instruction("square", branches=16)], "main returns 256 channels"),
        (
            [Instruction("conv_1x1", dimension=2), Instruction("split", 2, branches=4)],
            "6 channels do not split into 4 branches",
        ),
        ([Instruction("square", i + 1 if i else 0) for i in range(250)], "more than 200"),
    ],
)
def test_shapes_that_do_not_fit_are_rejected(instructions, reason):
    with pytest.raises(InvalidProgram, match=reason):
        infer_graph(program(*instructions), 16)


def test_too_many_branches():
    nested = Program(
        (
            Subprogram("main", (Instruction("inner", branches=16),)),
            Subprogram("inner", (Instruction("square", branches=16),)),
        ),
        (0.0,),
        (8,),
    )
    with pytest.raises(InvalidProgram, match="more than 32 branches"):
        infer_graph(nested, 16)


def test_two_numbers_of_heads():
    with pytest.raises(InvalidProgram, match="position biases for 1 and for 2 heads"):
        heads = Subprogram(
            "head",
            (
                SCORES,
                Instruction("position_bias", 2),
                Instruction("causal_mask", 3),
                Instruction("matmul", 4, 0),
            ),
        )
        main = Subprogram("main", (Instruction("head", branches=2), Instruction("head", 0)))
        last = Instruction("add", 3, 4)
        two = Instruction("conv_1x1", 2)
        main = dataclasses.replace(
            main, instructions=(main.instructions[0], two, main.instructions[1], last)
        )
        infer_graph(Program((main, heads), (0.0,), (8,)), 16)


def test_what_the_output_does_not_need_is_left_out():
    graph = infer_graph(program(Instruction("conv_1x1"), Instruction("square", 0)), 16)
    assert [node.operation for node in graph.nodes] == ["input", "square"]
    # Dead code may even be wrong.
    infer_graph(program(SCORES, Instruction("reduce_max", 2), Instruction("square", 0)), 16)


def test_cost_by_hand():
    graph = infer_graph(program(Instruction("conv_1x1"), Instruction("add", 0, 2)), 16)
    cost = program_cost(graph, sequence_length=5)
    assert cost.parameters == 256
    assert cost.flops == 2 * 16 * 16 + 16
    assert cost.bytes_moved == 4 * ((16 + 16) + (16 + 16 + 16))
    attention = infer_graph(
        program(SCORES, Instruction("causal_mask", 2), Instruction("matmul", 3, 0)), 16
    )
    assert program_cost(attention, 5).flops == 2 * 5 * 16 + 5 + 2 * 16 * 5


def test_listing_and_drawing_have_every_operation():
    text, picture = listing(transformer()), to_svg(infer_graph(transformer(), 64))
    assert "head = " not in text and "8 x head(a)" in text
    assert "c = max(a, 0)" in text
    for node in infer_graph(transformer(), 64).nodes:
        assert node.operation in picture


def test_the_table():
    assert len(PRIMITIVES) == 42
    assert all(name == primitive.name for name, primitive in PRIMITIVES.items())
