"""What gin bindings say about a model, as the arguments of a `PrimerBackbone`.

The Keras model is one decoder with the arguments of `PrimerBackbone`; Mesh TensorFlow composes its
decoders of configurable parts. Each part that a gin file names is translated by the rules declared
for it, and what has no counterpart is an error that names the binding.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from primer_tf.errors import UserError
from primer_tf.gin_config import configurables as known
from primer_tf.gin_config.gin_reader import shown
from primer_tf.gin_config.resolved_bindings import ResolvedBindings
from primer_tf.sublayers import MeshLayer, mesh_layers
from primer_tf.sublayers.gin_arguments import BackboneArgument, Translated
from primer_tf.types import Config

NORMALIZATIONS = {known.LAYER_NORM: "layer", known.RMS_NORM: "rms", known.PRIMER_NORM: "primer"}

# The lists of sublayers that the Keras model supports, without dropout and the masking of padding,
# and the placement of the normalization that each means.
_PLACEMENTS: dict[str, dict[tuple[str, ...], str | None]] = {
    "sublayers_initial": {(): None},
    "sublayers_per_layer": {
        ("norm", known.CALL_LAYER, known.RESIDUAL): "pre",
        (known.CALL_LAYER, "norm", known.RESIDUAL): "post",
    },
    "sublayers_final": {("norm",): None},
}

# T5 adds this many pieces to every vocabulary, and Mesh TensorFlow pads the embedding's rows to a
# multiple (`Unitransformer.vocab_divisor`).
SENTINELS = 100
VOCABULARY_DIVISOR = 128


def padded_vocabulary_size(size: int, divisor: int = VOCABULARY_DIVISOR) -> int:
    """Returns the rows of the embedding for a vocabulary of `size` pieces and sentinels."""
    return -(-size // divisor) * divisor


def backbone_arguments(bindings: ResolvedBindings) -> dict[str, Any]:
    """Returns the arguments of the `PrimerBackbone` that gin files describe.

    Args:
        bindings: `ResolvedBindings`.

    Returns:
        Dict of arguments; those left out are at their defaults. The number of rows of the embedding
        comes from the macro `vocabulary_size`, if there is one.

    Raises:
        UserError: The Keras model does not support a binding.
    """
    reader = _Reader(bindings)
    reader.read_vocabulary()
    reader.read_decoder()
    reader.read_layers()
    reader.read_layer_stack()
    return reader.arguments


def loss_arguments(bindings: ResolvedBindings) -> Config:
    """Returns the arguments of the `NextTokenLoss` that gin files describe."""
    names = ("z_loss", "label_smoothing")
    return {name: bindings.value(known.UNITRANSFORMER, name) for name in names}


class _Reader:
    """Collects arguments, each with the binding that it comes from."""

    def __init__(self, bindings: ResolvedBindings):
        self.bindings = bindings
        self.arguments: dict[str, Any] = {}
        self._origins: dict[str, str] = {}

    def set(self, argument: str, value: Any, origin: str) -> None:
        """Sets an argument, which several bindings may do only if they agree."""
        if self.arguments.setdefault(argument, value) != value:
            raise UserError(
                f"{origin} is {value!r}, but {self._origins[argument]} is "
                f"{self.arguments[argument]!r}; the Keras model has one {argument}."
            )
        self._origins.setdefault(argument, origin)

    def read(
        self,
        name: str,
        argument: str,
        rule: Any,
        value_of: Callable[[str], Any],
    ) -> None:
        """Checks an argument of a configurable, and sets the backbone's by its rule.

        Args:
            name: Full name of the configurable.
            argument: Name of the argument.
            rule: What is declared for the argument.
            value_of: Function from the name of another argument to its value.
        """
        value = self.bindings.value(name, argument)
        origin = self.bindings.where(name, argument)
        if isinstance(rule, BackboneArgument):
            if value is None:
                raise UserError(f"{origin} has no value; bind it.")
            self.set(rule.name, value, origin)
        elif isinstance(rule, Translated):
            try:
                translated = rule.read(value, value_of)
            except UserError as error:
                raise UserError(f"{origin}: {error}") from error
            for target, result in translated.items():
                self.set(target, result, origin)

    def read_configurable(self, name: str) -> None:
        """Reads all arguments of a configurable of the whole model."""
        for argument, rule in known.MODEL[name].items():
            self.read(name, argument, rule, partial(self.bindings.value, name))

    def read_vocabulary(self) -> None:
        size = self.bindings.macro("vocabulary_size")
        if size is not None:
            if not isinstance(size, int):
                raise UserError(f"The macro vocabulary_size is {shown(size)}, not an integer.")
            divisor = self.bindings.value(known.UNITRANSFORMER, "vocab_divisor")
            rows = padded_vocabulary_size(size, divisor)
            self.set("vocabulary_size", rows, "the macro vocabulary_size")

    def read_decoder(self) -> None:
        self.bindings.value(known.RUN, "model_type")
        lengths = self.bindings.value(known.RUN, "sequence_length")
        origin = self.bindings.where(known.RUN, "sequence_length")
        self.set("max_sequence_length", lengths["targets"], origin)
        for name in (
            known.UNITRANSFORMER,
            known.VOCAB_EMBEDDING,
            known.INITIALIZER,
            known.MAKE_LAYER_STACK,
        ):
            self.read_configurable(name)

    def read_layers(self) -> None:
        """Reads the layers of a block, by their entries in the registry of sublayers."""
        references = self.bindings.value(known.MAKE_LAYER_STACK, "layers")
        where = self.bindings.where(known.MAKE_LAYER_STACK, "layers")
        registered = {layer.configurable: (kind, layer) for kind, layer in mesh_layers()}
        for reference in references:
            if reference.name not in registered:
                names = ", ".join(layer.name for _, layer in registered.values())
                raise UserError(
                    f"{where}: no Keras layer stands for {reference}; there are {names}."
                )
        found = [registered[reference.name] for reference in references]
        self.set("block", [kind.name for kind, _ in found], where)
        if any(kind.num_heads for kind, _ in found):
            self.read_configurable(known.POSITION_BUCKET)
        for _, layer in found:
            self._read_layer(layer, where)

    def _read_layer(self, layer: MeshLayer, where: str) -> None:
        for argument, value in layer.implies.items():
            self.set(argument, value, f"{where} has {layer.name}, whose {argument}")
        value_of = partial(self.bindings.value, layer.configurable)
        for name, arguments in layer.configurables.items():
            for argument, rule in arguments.items():
                self.read(name, argument, rule, value_of)

    def read_layer_stack(self) -> None:
        """Reads normalization, placement, dropout and gradient checkpointing."""
        stack = self.bindings.value(known.MAKE_LAYER_STACK, "layer_stack_cls").name
        where = self.bindings.where(known.MAKE_LAYER_STACK, "layer_stack_cls")
        if stack not in (known.LAYER_STACK, known.PRE_POST_NORM_LAYER_STACK):
            raise UserError(f"{where}: the Keras model does not support @{stack}.")
        # A subclass has the bindings of its base, but for those that are bound for it alone.
        own = known.PRE_POST_NORM_LAYER_STACK

        def bound(argument):
            is_own = stack == own and self.bindings.is_bound(own, argument)
            return own if is_own else known.LAYER_STACK

        for argument, rule in known.MODEL[known.LAYER_STACK].items():
            name = bound(argument)
            self.read(name, argument, rule, partial(self.bindings.value, name))
        for part in ("sublayers_initial", "sublayers_per_layer", "sublayers_final"):
            references = self.bindings.value(bound(part), part)
            names = [sublayer.name for sublayer in references]
            self._read_sublayer_list(part, names, self.bindings.where(bound(part), part))
        if stack == own:
            if self.arguments["placement"] != "pre":
                raise UserError(f"{where}: PrePostNormLayerStack needs the normalization first.")
            self.arguments["placement"] = "alternating"

    def _read_sublayer_list(self, part: str, names: list[str], origin: str) -> None:
        """Reads normalization, its placement and dropout from a list of sublayers."""
        # Keras masks padding inside the layers that mix positions.
        steps = [name for name in names if name != known.MASK_PADDING]
        dropout = known.DROPOUT in steps
        if dropout:
            steps.remove(known.DROPOUT)
        rate = self.bindings.value(known.DROPOUT, "dropout_rate") if dropout else 0.0
        norms = [name for name in steps if name in NORMALIZATIONS]
        shape = tuple("norm" if name in NORMALIZATIONS else name for name in steps)
        if shape not in _PLACEMENTS[part]:
            readable = ", ".join(name.split(".")[-1] for name in names)
            raise UserError(f"{origin}: the Keras model does not support the sublayers {readable}.")
        for name in norms:
            self.bindings.check(name)
            self.set("normalization", NORMALIZATIONS[name], origin)
        if placement := _PLACEMENTS[part][shape]:
            self.set("placement", placement, origin)
        if dropout:
            origin = self.bindings.where(known.DROPOUT, "dropout_rate")
        self.set("dropout", rate, origin)
