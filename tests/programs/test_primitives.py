"""Each primitive in Keras computes what the interpreter computes, and only looks back."""

import numpy as np
import pytest
from keras import ops

from primer_tf.programs import PRIMITIVES, Instruction, Program, Subprogram, infer_graph
from primer_tf.programs.interpreter import interpret
from primer_tf.programs.program_layer import ProgramLayer
from primer_tf.search.fingerprint import random_weights

C, T = 16, 5


def of_channels(name):
    """Returns a program that applies a primitive to channels, in 2 branches."""
    body = [
        Instruction("conv_1x1"),
        Instruction(name, 2, 0, constant=0, dimension=1, branches=2),
    ]
    body.append(Instruction("conv_1x1", 3, dimension=0))
    return Program((Subprogram("main", tuple(body)),), (0.3,), (8, 4))


def of_scores(name):
    """Returns a program that applies a primitive to scores, in 2 branches."""
    head = [
        Instruction("conv_1x1", 0, dimension=1),
        Instruction("conv_1x1", 0, dimension=1),
        Instruction("transposed_matmul", 2, 3),
        Instruction("transposed_matmul", 3, 2),
        Instruction("causal_mask", 4),
    ]
    if name not in ("transposed_matmul", "causal_mask", "matmul"):
        head.append(Instruction(name, 6, 5, constant=0))
    state = len(head) + 1
    if not name.startswith("reduce"):
        head.append(Instruction("matmul", state, 2))
    main = (Instruction("head", branches=2), Instruction("conv_1x1", 2))
    return Program((Subprogram("main", main), Subprogram("head", tuple(head))), (0.3,), (8, 4))


def takes_scores(name):
    try:
        infer_graph(of_scores(name), C)
    except ValueError:
        return False
    return True


def takes_channels(name):
    try:
        infer_graph(of_channels(name), C)
    except ValueError:
        return False
    return True


CASES = [(name, of_channels(name)) for name in PRIMITIVES if takes_channels(name)]
CASES += [(f"{name} of scores", of_scores(name)) for name in PRIMITIVES if takes_scores(name)]


def test_every_primitive_is_tested():
    tested = {name.split()[0] for name, _ in CASES}
    assert tested == set(PRIMITIVES)


def run(program, x, bias):
    layer = ProgramLayer(program)
    layer.build((None, None, C))
    graph = infer_graph(program, C)
    weights = random_weights(graph, seed=1)
    by_order = [weights[node.path] for node in graph.nodes if node.weight is not None]
    for kernel, value in zip(layer.kernels, by_order, strict=True):
        kernel.assign(value)
    return ops.convert_to_numpy(layer(x, position_bias=bias)), weights


@pytest.mark.parametrize("name, program", CASES, ids=[name for name, _ in CASES])
def test_equals_the_interpreter(name, program):
    random = np.random.default_rng(0)
    x = random.standard_normal((2, T, C))
    bias = random.standard_normal((infer_graph(program, C).num_heads or 1, T, T))
    got, weights = run(program, x.astype("float32"), bias.astype("float32"))
    expected = np.stack([interpret(program, row, weights, bias) for row in x])
    scale = np.abs(expected).max()
    assert np.isfinite(scale) and scale > 0
    np.testing.assert_allclose(got / scale, expected / scale, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name, program", CASES, ids=[name for name, _ in CASES])
def test_looks_back_only(name, program):
    random = np.random.default_rng(1)
    x = random.standard_normal((1, T, C)).astype("float32")
    bias = random.standard_normal((infer_graph(program, C).num_heads or 1, T, T)).astype("float32")
    changed = x.copy()
    changed[:, 3] += 1
    one, other = run(program, x, bias)[0], run(program, changed, bias)[0]
    np.testing.assert_array_equal(one[:, :3], other[:, :3])
    # It does not depend on how many positions follow, either.
    short = run(program, x[:, :3], bias[:, :3, :3])[0]
    np.testing.assert_allclose(short, one[:, :3], rtol=1e-4, atol=1e-4 * np.abs(one).max())
