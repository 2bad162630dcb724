"""The shape of a mesh of devices, as the command line has it: `data:4,model:2`.

Importing this module imports neither TensorFlow nor Keras.
"""

import re
from dataclasses import dataclass

from primer_tf.errors import UserError

AXES = ("data", "fsdp", "model")


@dataclass(frozen=True)
class MeshShape:
    """How many devices there are along each axis of a mesh.

    Args:
        replicas: Number of parts of a batch that are computed at a time. Defaults to 1.
        model: Number of devices that share the heads, the hidden channels of feed-forward layers,
            the experts and the vocabulary. Defaults to 1.
        fully_sharded: Whether the devices with different parts of the batch also share the weights
            and the optimizer's state, in place of a copy each. Defaults to `False`.
    """

    replicas: int = 1
    model: int = 1
    fully_sharded: bool = False

    @property
    def devices(self) -> int:
        """Number of devices."""
        return self.replicas * self.model

    @property
    def batch_axis(self) -> str:
        """Name of the axis that splits a batch: `"data"` or `"fsdp"`."""
        return "fsdp" if self.fully_sharded else "data"

    def __str__(self) -> str:
        return f"{self.batch_axis}:{self.replicas},model:{self.model}"


def parse_mesh(text: str) -> MeshShape:
    """Reads the shape of a mesh.

    Args:
        text: Axes with their sizes, as in `"data:4,model:2"`. There are `data`, or `fsdp` in its
            place to share the weights as well, and `model`.

    Returns:
        A `MeshShape`.

    Raises:
        UserError: An axis is unknown or there twice, a size is not a positive number, or there are
            both `data` and `fsdp`.

    Example:

    >>> from primer_tf.distribution import parse_mesh
    >>> parse_mesh("fsdp:8")
    MeshShape(replicas=8, model=1, fully_sharded=True)
    """
    sizes: dict[str, int] = {}
    for part in text.split(","):
        name, _, size = part.strip().partition(":")
        if name not in AXES:
            raise UserError(
                f"mesh {text!r} has the unknown axis {name!r}; known: {', '.join(AXES)}, as in "
                "data:4,model:2."
            )
        if not re.fullmatch(r"0*[1-9]\d{0,8}", size, re.ASCII):
            raise UserError(f"mesh {text!r} needs a size for {name}, as in {name}:2.")
        if name in sizes:
            raise UserError(f"mesh {text!r} has {name} twice; leave one out.")
        sizes[name] = int(size)
    if {"data", "fsdp"} <= sizes.keys():
        raise UserError(
            f"mesh {text!r} has both data and fsdp, which split the same batch; leave one out."
        )
    replicas = sizes.get("fsdp", sizes.get("data", 1))
    return MeshShape(replicas, sizes.get("model", 1), fully_sharded="fsdp" in sizes)
