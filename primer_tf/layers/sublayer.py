"""The registry of what a decoder block can be made of.

A kind of sublayer is declared once, beside its Keras layer: how the arguments of a backbone become
those of the layer, what it costs, how its weights are laid out over devices, and what it is in Mesh
TensorFlow. The backbone, the cost table, the gin reader and writer, and the converter all read it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras

Arguments = Mapping[str, Any]
"""All arguments of a `PrimerBackbone`, by name."""


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
class MeshVariables:
    """The variables of a Mesh TensorFlow layer.

    Attributes:
        scope: Variable scope of the layer.
        names: Dict from the path of a Keras weight inside its layer to the name in the scope.
    """

    scope: str
    names: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Sublayer:
    """A kind of sublayer; each function takes all arguments of a backbone.

    Attributes:
        name: Its name in `PrimerBackbone(block=...)`.
        layer: Returns the Keras class and the arguments for it; `name`, `dropout` and `dtype` come
            from the backbone.
        cost: Returns its `LayerCost`.
        axes: Returns a dict from the path of a weight inside the layer to the logical axes of the
            weight, each "hidden", "heads", "mlp", "experts", "positions" or `None` for an axis that
            is never split.
        num_heads: Returns the number of attention heads, for the position bias; `None` if it takes
            none.
        check: Raises `ValueError` when a backbone's arguments do not go with it. Optional.
        mesh: Returns its `MeshVariables`. Optional: without, it cannot be converted.
    """

    name: str
    layer: Callable[[Arguments], tuple[type[keras.layers.Layer], dict[str, Any]]]
    cost: Callable[[Arguments], LayerCost]
    axes: Callable[[Arguments], dict[str, tuple[str | None, ...]]]
    num_heads: Callable[[Arguments], int] | None = None
    check: Callable[[Arguments], None] | None = None
    mesh: Callable[[Arguments], MeshVariables] | None = None


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
