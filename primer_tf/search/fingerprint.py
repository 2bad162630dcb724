"""Whether two programs compute the same function."""

import functools
import hashlib

import numpy as np

from primer_tf.programs.graph import Graph, infer_graph
from primer_tf.programs.interpreter import interpret
from primer_tf.programs.primitive import InvalidProgram
from primer_tf.programs.program import Program

HIDDEN_DIM, LENGTH = 32, 6
# Inputs of several sizes tell apart what differs only far from zero.
SCALES = (1.0, 6.0)
# Several draws of weights, every second one negative, tell apart what one draw hides: a maximum of
# a weight and a constant, for example, shows the weight only where it is the larger.
DRAWS = 4
DIGITS = 7


def random_weights(graph: Graph, seed: int, draw: int = 0) -> dict[str, np.ndarray]:
    """Returns random weights for a graph by path.

    A weight depends on its shape and on how many weights come before it in the graph's own order.
    So it is the same in two programs that differ only in operations without weights.

    Args:
        graph: A `Graph`.
        seed: Seed of all weights.
        draw: Which of the draws of this seed. Those with odd numbers are the ones before them with
            the signs changed. Defaults to 0.

    Returns:
        Dict from the path of a node to its weight, standard normal divided by the square root of
        the inputs of a projection.
    """
    sign = -1 if draw % 2 else 1
    nodes = [node for node in graph.nodes if node.weight is not None]
    weights = {}
    for index, node in enumerate(nodes):
        shape = node.weight or ()
        fan_in = np.prod(shape[1:-1]) if len(shape) > 2 else 1
        values = np.random.default_rng((seed, draw // 2, index, *shape)).standard_normal(shape)
        weights[node.path] = sign * values / fan_in**0.5
    return weights


def random_outputs(program: Program, seed: int) -> np.ndarray:
    """Returns the outputs on random inputs and weights, float64.

    Args:
        program: A `Program`.
        seed: Seed of inputs, weights and position biases.

    Returns:
        `[S, T, C]`, with all scales of the input for each draw of the weights.

    Raises:
        InvalidProgram: The program is invalid.
    """
    graph = infer_graph(program, HIDDEN_DIM)
    outputs = []
    for draw in range(DRAWS):
        weights = random_weights(graph, seed, draw)
        random = np.random.default_rng((seed, draw, 1 << 20))
        x = random.standard_normal((LENGTH, HIDDEN_DIM))
        bias = random.standard_normal((graph.num_heads or 1, LENGTH, LENGTH))
        outputs += [interpret(program, scale * x, weights, bias) for scale in SCALES]
    return np.stack(outputs)


@functools.lru_cache(maxsize=1000)
def fingerprint(program: Program) -> str:
    """Returns a text that is the same for programs that compute the same function.

    It is a digest of the outputs on random inputs and weights, to 7 digits, and of the shapes of
    the weights. Programs that order their weights otherwise may differ although they are equal;
    they are then trained twice, and nothing is lost. The reverse, one text for two functions, takes
    functions that agree on all those values.

    Args:
        program: A `Program`.

    Returns:
        A hexadecimal text.

    Raises:
        InvalidProgram: The program is invalid, or its output on random inputs is not finite.

    Example:

    >>> from primer_tf.programs import Instruction, Program, Subprogram
    >>> from primer_tf.search.fingerprint import fingerprint
    >>> def of(*instructions):
    ...     return fingerprint(Program((Subprogram("main", instructions),), (0.0,), (8,)))
    >>> relu_twice = of(Instruction("max"), Instruction("max", 2))
    >>> relu_twice == of(Instruction("max")), relu_twice == of(Instruction("abs"))
    (True, False)
    """
    outputs = random_outputs(program, seed=0)
    if not np.isfinite(outputs[0]).all():
        raise InvalidProgram("it gives NaN or infinity on random inputs")
    graph = infer_graph(program, HIDDEN_DIM)
    shapes = [node.weight for node in graph.nodes if node.weight is not None]
    with np.errstate(all="ignore"):
        exponents = np.floor(np.log10(np.abs(outputs)))
        exponents = np.where(np.isfinite(exponents), exponents, 0)
        unit = 10.0 ** (exponents - DIGITS + 1)
        rounded = np.where(np.isfinite(outputs), np.round(outputs / unit), outputs)
    rounded = rounded + 0.0  # There are two zeros.
    digest = hashlib.sha256(repr(shapes).encode())
    digest.update(exponents.astype("<f8").tobytes() + rounded.astype("<f8").tobytes())
    return digest.hexdigest()[:32]


def relative_difference(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the largest difference of two outputs, relative to their size."""
    with np.errstate(all="ignore"):
        same = (one == other) | (np.isnan(one) & np.isnan(other))
        size = np.maximum(np.abs(one), np.abs(other)) + 1e-12
        return float(np.max(np.where(same, 0.0, np.abs(one - other) / size), initial=0.0))
