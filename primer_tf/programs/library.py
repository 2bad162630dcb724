"""The blocks that our layers express, as programs: Transformer, Transformer++ and Primers.

Their subprograms are those in which the paper starts its search ("conceptual initialization",
Primer, appendix A.2): an edit of `projection` changes queries, keys and values of every head.
"""

from primer_tf.programs.program import Instruction, Program, Subprogram

CONSTANTS = (0.0, 1.0, -1.0, 1e-6, 2.0, 0.5)
ZERO, EPSILON = 0, 3
DIMENSIONS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)


def block_program(
    num_heads: int = 8,
    expansion: int = 4,
    kernel_size: int | None = 3,
    shared_query_key: bool = False,
    activation: str = "squared_relu",
    gated: bool = False,
    normalization: str = "layer",
    placement: str = "pre",
    score_scale: float | None = None,
) -> Program:
    """Returns the program of attention and a feed-forward layer, as `PrimerBackbone` has them.

    Args:
        num_heads: Number of heads, 1, 2, 4 or 8, of `hidden_dim / num_heads` channels each.
            Defaults to 8.
        expansion: Width of the feed-forward layer in `hidden_dim`s: 1, 2, 3, 4, 6 or 8. Defaults to
            4.
        kernel_size: Width of the convolutions after Q, K and V, 3, 7, 15 or 31, or `None` for none.
            Defaults to 3.
        shared_query_key: Whether queries are projected from the keys. Defaults to `False`.
        activation: `"relu"`, `"squared_relu"` or `"swish"`. Defaults to `"squared_relu"`.
        gated: Whether the feed-forward layer is gated. Defaults to `False`.
        normalization: `"layer"`, `"rms"` or `"primer"`. Defaults to `"layer"`.
        placement: `"pre"` or `"alternating"`. Defaults to `"pre"`.
        score_scale: Factor of the queries, `head_dim ** -0.5` in most Transformers. Defaults to
            `None`, no factor, as in T5.

    Returns:
        A `Program`.
    """
    full, head, wide = map(DIMENSIONS.index, (8, 8 // num_heads, 8 * expansion))
    constants = CONSTANTS if score_scale is None else (*CONSTANTS, score_scale)
    projection = [Instruction("conv_1x1", 0, dimension=head)]
    if kernel_size is not None:
        projection.append(Instruction(f"depthwise_conv_{kernel_size}x1", 2))
    subprograms = {
        "main": _main(placement),
        "self_attention": _self_attention(num_heads, full, shared_query_key),
        "head": _head(head, shared_query_key, score_scale is not None),
        "feed_forward": _feed_forward(wide, full, gated),
        "projection": projection,
        "softmax": [
            Instruction("reduce_max", 0),
            Instruction("difference", 0, 2),
            Instruction("exp", 3),
            Instruction("reduce_sum", 4),
            Instruction("divide", 4, 5),
        ],
        "layer_norm": [Instruction("z_score", 0), Instruction("scale_shift", 2)],
        "z_score": _z_score(normalization),
        "scale_shift": [Instruction("scale", 0), Instruction("shift", 2)],
        "residual": [Instruction("add", 0, 1)],
        "relu": _activation(activation),
    }
    if normalization == "rms":
        subprograms["scale_shift"] = [Instruction("scale", 0)]
    return Program(
        tuple(Subprogram(name, tuple(body)) for name, body in subprograms.items()),
        constants,
        DIMENSIONS,
    )


def transformer(
    num_heads: int = 8, expansion: int = 4, score_scale: float | None = None
) -> Program:
    """Returns the pre-norm Transformer with ReLU; for the arguments see `block_program`."""
    return block_program(
        num_heads, expansion, kernel_size=None, activation="relu", score_scale=score_scale
    )


def transformer_plusplus(
    num_heads: int = 8, expansion: int = 3, score_scale: float | None = None
) -> Program:
    """Returns Transformer++, with SwiGLU and RMS norm; for the arguments see `block_program`."""
    return block_program(
        num_heads,
        expansion,
        kernel_size=None,
        activation="swish",
        gated=True,
        normalization="rms",
        score_scale=score_scale,
    )


def primer_ez(num_heads: int = 8, expansion: int = 4, score_scale: float | None = None) -> Program:
    """Returns Primer-EZ (Primer, section 4.1), two edits away from the Transformer.

    For the arguments see `block_program`.
    """
    return block_program(num_heads, expansion, score_scale=score_scale)


def primer(num_heads: int = 8, expansion: int = 4, score_scale: float | None = None) -> Program:
    """Returns full Primer (Primer, appendix A.3); for the arguments see `block_program`."""
    return block_program(
        num_heads,
        expansion,
        shared_query_key=True,
        normalization="primer",
        placement="alternating",
        score_scale=score_scale,
    )


LIBRARY = {
    "transformer": transformer,
    "transformer_plusplus": transformer_plusplus,
    "primer_ez": primer_ez,
    "primer": primer,
}


def _main(placement: str) -> list[Instruction]:
    attention = [
        Instruction("layer_norm", 0),
        Instruction("self_attention", 2),
        Instruction("residual", 0, 3),
    ]
    if placement == "pre":
        return [
            *attention,
            Instruction("layer_norm", 4),
            Instruction("feed_forward", 5),
            Instruction("residual", 4, 6),
        ]
    return [
        *attention,
        Instruction("feed_forward", 4),
        Instruction("layer_norm", 5),
        Instruction("residual", 4, 6),
    ]


def _self_attention(num_heads: int, full: int, shared_query_key: bool) -> list[Instruction]:
    if not shared_query_key:
        return [
            Instruction("head", 0, branches=num_heads),
            Instruction("conv_1x1", 2, dimension=full),
        ]
    return [
        Instruction("projection", 0, branches=num_heads),
        Instruction("head", 0, 2, branches=num_heads),
        Instruction("conv_1x1", 3, dimension=full),
    ]


def _head(head: int, shared_query_key: bool, scaled: bool) -> list[Instruction]:
    """Returns attention in one head; with shared Q and K, input 2 has the keys of all heads."""
    body = [Instruction("projection", 0), Instruction("projection", 0)]
    if shared_query_key:
        body = [Instruction("conv_1x1", 1, dimension=head), Instruction("split", 1)]
    body.append(Instruction("projection", 0))
    query = 2
    if scaled:
        query = 5
        body.append(Instruction("constant_multiply", 2, constant=len(CONSTANTS)))
    body.append(Instruction("transposed_matmul", query, 3))
    for operation in ("position_bias", "causal_mask", "softmax"):
        body.append(Instruction(operation, len(body) + 1))
    return [*body, Instruction("matmul", len(body) + 1, 4)]


def _feed_forward(wide: int, full: int, gated: bool) -> list[Instruction]:
    body = [
        Instruction("conv_1x1", 0, dimension=wide),
        Instruction("shift", 2),
        Instruction("relu", 3),
    ]
    if gated:
        body += [
            Instruction("conv_1x1", 0, dimension=wide),
            Instruction("shift", 5),
            Instruction("multiply", 4, 6),
        ]
    output = Instruction("conv_1x1", len(body) + 1, dimension=full)
    return [*body, output, Instruction("shift", len(body) + 2)]


def _z_score(normalization: str) -> list[Instruction]:
    if normalization == "rms":
        body = [Instruction("square", 0), Instruction("reduce_mean", 2)]
    else:
        body = [Instruction("reduce_mean", 0), Instruction("difference", 0, 2)]
        # Primer's pseudo-variance is `mean(x * (x - m))`.
        square = Instruction("square", 3)
        body.append(Instruction("multiply", 0, 3) if normalization == "primer" else square)
        body.append(Instruction("reduce_mean", 4))
    body.append(Instruction("constant_add", len(body) + 1, constant=EPSILON))
    body.append(Instruction("abs_square_root", len(body) + 1))
    return [*body, Instruction("divide", 0 if normalization == "rms" else 3, len(body) + 1)]


def _activation(activation: str) -> list[Instruction]:
    if activation == "swish":
        return [Instruction("sigmoid", 0), Instruction("multiply", 0, 2)]
    body = [Instruction("max", 0, constant=ZERO)]
    return body if activation == "relu" else [*body, Instruction("square", 2)]
