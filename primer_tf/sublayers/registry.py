"""The registry of what a decoder block can be made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from primer_tf.errors import UserError
from primer_tf.sublayers.gin_arguments import Arguments
from primer_tf.sublayers.mesh_layer import MeshLayer

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """What a layer costs for each token, and for each token and key it attends to.

    Attributes:
        parameters: Number of weights.
        flops: FLOPs for a token in the forward pass; a multiply-add is two.
        activations: Numbers that training keeps for a token until the gradients.
        flops_per_key: FLOPs for a token and key.
        activations_per_key: Numbers kept for a token and key.
        inactive: Of the parameters, those that a token does not use.
        cache_values: Numbers that decoding keeps for a position.
    """

    parameters: int
    flops: int
    activations: int
    flops_per_key: int = 0
    activations_per_key: int = 0
    inactive: int = 0
    cache_values: int = 0


@dataclasses.dataclass(frozen=True)
class Sublayer:
    """A kind of sublayer; each function takes all arguments of a backbone.

    Attributes:
        name: Its name in `PrimerBackbone(block=...)`.
        layer: Returns the Keras class and the arguments for it; `name`, `dropout` and `dtype` come
            from the backbone.
        cost: Returns its `LayerCost`.
        axes: Dict from a regular expression, which matches the whole paths of some weights inside
            the layer, to the logical axes of these weights: "hidden", "heads", "mlp", "experts",
            "positions", or `None` for an axis that is never split. It covers all weights that the
            layer has with any arguments.
        num_heads: Returns the number of attention heads, for the position bias, or `None`; itself
            `None` if it never takes one.
        is_whole_block: Whether it normalizes and adds its input itself. Defaults to `False`.
        check: Raises `ValueError` when a backbone's arguments do not go with it. Optional.
        mesh: The Mesh TensorFlow layers that compute the same, each for some arguments of a
            backbone; the first that fits is taken. Without any, the kind has no gin file and no
            checkpoint in Mesh TensorFlow.
    """

    name: str
    layer: Callable[[Arguments], tuple[type[keras.layers.Layer], dict[str, Any]]]
    cost: Callable[[Arguments], LayerCost]
    axes: Mapping[str, tuple[str | None, ...]]
    num_heads: Callable[[Arguments], int | None] | None = None
    is_whole_block: bool = False
    check: Callable[[Arguments], None] | None = None
    mesh: tuple[MeshLayer, ...] = ()

    def mesh_layer(self, arguments: Arguments) -> MeshLayer:
        """Returns the Mesh TensorFlow layer for a backbone's arguments.

        Raises:
            UserError: There is none.
        """
        for layer in self.mesh:
            if layer.fits(arguments):
                return layer
        raise UserError(f"The sublayer {self.name!r} has no counterpart in Mesh TensorFlow.")


_REGISTRY: dict[str, Sublayer] = {}


def register_sublayer(sublayer: Sublayer) -> Sublayer:
    """Adds a kind of sublayer to those that a block can be made of.

    Raises:
        ValueError: Another kind has its name.
    """
    if sublayer.name in _REGISTRY:
        raise ValueError(f"There is a sublayer {sublayer.name!r} already; choose another name.")
    _REGISTRY[sublayer.name] = sublayer
    return sublayer


def sublayer_names() -> tuple[str, ...]:
    """Returns the names of all registered kinds."""
    return tuple(_REGISTRY)


def get_sublayer(name: str) -> Sublayer:
    """Returns a kind of sublayer by name.

    Raises:
        ValueError: There is none of this name.
    """
    if name not in _REGISTRY:
        raise ValueError(
            f"Unknown sublayer {name!r} in `block`. Known ones: {', '.join(_REGISTRY)}."
        )
    return _REGISTRY[name]


def mesh_layers() -> Iterator[tuple[Sublayer, MeshLayer]]:
    """Yields every registered Mesh TensorFlow layer after the kind that it stands for."""
    for sublayer in _REGISTRY.values():
        for layer in sublayer.mesh:
            yield sublayer, layer


def check_block(arguments: Arguments) -> None:
    """Raises `ValueError` if sublayers are unknown, or do not go with a backbone's arguments."""
    for kind in map(get_sublayer, arguments["block"]):
        if kind.check is not None:
            kind.check(arguments)


def make_sublayer(name: str, arguments: Arguments) -> keras.layers.Layer:
    """Returns the layer called `name` in a block, given the arguments of a backbone."""
    layer, kwargs = get_sublayer(name).layer(arguments)
    return layer(name=name, dropout=arguments["dropout"], **kwargs)


def pick(arguments: Arguments, *names: str) -> dict[str, Any]:
    """Returns some of the arguments, under their own names."""
    return {name: arguments[name] for name in names}
