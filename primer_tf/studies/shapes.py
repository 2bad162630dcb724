"""Shapes of models in a grid of sizes, as arguments of `PrimerBackbone`."""

from primer_tf.errors import UserError
from primer_tf.types import Config

HEAD_DIM = 32


def shape(hidden_dim: int, num_layers: int) -> Config:
    """Returns the arguments of `PrimerBackbone` for a size.

    Args:
        hidden_dim: `d_model`, a multiple of 32.
        num_layers: Number of blocks.

    Raises:
        UserError: A size is impossible.
    """
    if hidden_dim < HEAD_DIM or hidden_dim % HEAD_DIM or num_layers < 1:
        raise UserError(
            f"A shape is d_model, a multiple of {HEAD_DIM}, and layers, as in 128x4; received "
            f"{hidden_dim}x{num_layers}."
        )
    return {
        "hidden_dim": hidden_dim,
        "num_layers": num_layers,
        "num_heads": hidden_dim // HEAD_DIM,
        "head_dim": HEAD_DIM,
        "intermediate_dim": 4 * hidden_dim,
    }


def gated_width(width: int) -> int:
    """Returns the width of a gated feed-forward layer with as many weights as one of `width`."""
    return max(1, round(width * 2 / 3 / 8)) * 8
