"""What a kind of sublayer is in Mesh TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from primer_tf.sublayers.gin_arguments import Arguments, Rules

TRANSFORMER_LAYERS = "mesh_tensorflow.transformer.transformer_layers"
PRIMER_LAYERS = "primer_tf.mesh.layers"


@dataclasses.dataclass(frozen=True)
class MeshLayer:
    """A Mesh TensorFlow layer that computes what a kind of sublayer does.

    Attributes:
        configurable: Full name by which gin knows the layer, as in `"t5_models.MDHA"`.
        module: Python module that registers it with gin.
        arguments: Dict from each of its arguments to a default, `Only`, `BackboneArgument` or
            `Translated`.
        variables: Returns a dict from the path of each weight inside the Keras layer to the name
            of the variable inside the scope, given all arguments of a backbone.
        scope: Variable scope of the layer. Defaults to the last part of `configurable`.
        parts: Dict from the full name of each further configurable that the layer calls to its
            arguments.
        implies: Arguments of a backbone that the layer holds fixed. It stands for the kind only
            where a backbone has these values.
    """

    configurable: str
    module: str
    arguments: Rules
    variables: Callable[[Arguments], dict[str, str]]
    scope: str = ""
    parts: Mapping[str, Rules] = dataclasses.field(default_factory=dict)
    implies: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.scope:
            object.__setattr__(self, "scope", self.name)

    @property
    def name(self) -> str:
        """The layer's name in a gin file."""
        return self.configurable.split(".")[-1]

    @property
    def configurables(self) -> dict[str, Rules]:
        """The layer and its parts: dict from full name to arguments."""
        return {self.configurable: self.arguments, **self.parts}

    def fits(self, arguments: Arguments) -> bool:
        """Whether it is the layer for these arguments of a backbone."""
        return all(arguments[name] == value for name, value in self.implies.items())
