"""Which programs are what the package's layers compute, and with which arguments."""

import itertools
import math
from typing import Any

from primer_tf.errors import UserError
from primer_tf.programs.graph import Graph, infer_graph
from primer_tf.programs.library import block_program
from primer_tf.programs.program import Program
from primer_tf.search.fingerprint import HIDDEN_DIM, fingerprint

_EXPANSIONS = (4, 3, 2, 6, 1, 8)
_KERNEL_SIZES = (3, 7, 15, 31)
_OPTIONS: dict[str, tuple[Any, ...]] = {
    "shared_query_key": (False, True),
    "activation": ("relu", "squared_relu", "swish"),
    "gated": (False, True),
    "normalization": ("layer", "rms", "primer"),
    "placement": ("pre", "alternating"),
}


def backbone_arguments(program: Program, hidden_dim: int) -> dict[str, Any]:
    """Returns the arguments of the `PrimerBackbone` whose layers compute what a program computes.

    Args:
        program: A `Program`.
        hidden_dim: Channels of the model.

    Returns:
        Dict with all arguments that describe a block. A factor of the queries is left out: as in
        T5, it is part of the initial values of their projection.

    Raises:
        UserError: No arguments give such layers.

    Example:

    >>> from primer_tf.programs import primer_ez
    >>> from primer_tf.search.expressible import backbone_arguments
    >>> backbone_arguments(primer_ez(num_heads=4), hidden_dim=64)["kernel_size"]
    3
    """
    graph = infer_graph(program, HIDDEN_DIM)
    if graph.num_heads in (1, 2, 4, 8):
        digest, scale = fingerprint(program), _query_scale(graph)
        choices = {**_sizes(graph), **_OPTIONS}
        for values in itertools.product(*choices.values()):
            options = dict(zip(choices, values, strict=True))
            ours = block_program(graph.num_heads, score_scale=scale, **options)
            if _shapes(infer_graph(ours, HIDDEN_DIM)) != _shapes(graph):
                continue
            if fingerprint(ours) == digest:
                expansion = options.pop("expansion")
                return {
                    "block": ["attention", "feed_forward"],
                    "num_heads": graph.num_heads,
                    "head_dim": hidden_dim // graph.num_heads,
                    "hidden_dim": hidden_dim,
                    "intermediate_dim": expansion * hidden_dim,
                    **options,
                }
    raise UserError("The layers of this package do not express the program; use it as it is.")


def _sizes(graph: Graph) -> dict[str, list[Any]]:
    """Returns the sizes that occur in a graph."""
    widths = {node.shape.channels for node in graph.nodes}
    operations = {node.operation for node in graph.nodes}
    kernels = [size for size in _KERNEL_SIZES if f"depthwise_conv_{size}x1" in operations]
    return {
        "expansion": [each for each in _EXPANSIONS if each * HIDDEN_DIM in widths],
        "kernel_size": kernels or [None],
    }


def _query_scale(graph: Graph) -> float | None:
    """Returns the constant that multiplies a value inside branches, if one does."""
    scales = [
        node.constant
        for node in graph.nodes
        if node.operation == "constant_multiply" and node.total > 1
    ]
    return math.prod(scales) if scales else None


def _shapes(graph: Graph) -> list[tuple[int, ...]]:
    return [node.weight for node in graph.nodes if node.weight is not None]
