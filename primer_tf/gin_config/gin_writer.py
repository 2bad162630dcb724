"""From the arguments of a `PrimerBackbone` to the gin file of the same Mesh TensorFlow model.

The inverse of `model_arguments`, by the same rules. The file includes no other, so it means the
same in any folder.
"""

from collections.abc import Iterable
from typing import Any

from primer_tf.gin_config import configurables as known
from primer_tf.gin_config.model_arguments import NORMALIZATIONS
from primer_tf.sublayers import Arguments, MeshLayer, get_sublayer
from primer_tf.sublayers.gin_arguments import BackboneArgument, Only, Rules, Translated

# The macros that stand for arguments, as in the gin files of this package.
MACROS = {
    "num_layers": "num_layers",
    "hidden_dim": "d_model",
    "num_heads": "num_heads",
    "head_dim": "d_kv",
    "intermediate_dim": "d_ff",
    "dropout": "dropout_rate",
    "vocabulary_size": "vocabulary_size",
}

# What registers the configurables of the whole model.
MODULES = (
    "mesh_tensorflow.optimize",
    "mesh_tensorflow.transformer.learning_rate_schedules",
    "mesh_tensorflow.transformer.transformer",
    "primer_tf.mesh.layers",
)

HEAD = """\
utils.run.model_type = "lm"
utils.run.layout_rules = \
    "ensemble:ensemble,batch:batch,d_ff:model,heads:model,vocab:model,experts:batch"
utils.get_variable_dtype.master_dtype = "float32"
utils.get_variable_dtype.slice_dtype = "float32"
Unitransformer.shared_embedding_and_softmax_weights = True
Unitransformer.label_smoothing = 0.0
"""


def write(arguments: Arguments) -> str:
    """Returns the text of a gin file that describes a backbone.

    Args:
        arguments: All architectural arguments of a `PrimerBackbone`.

    Returns:
        The text, which ends with a new line.

    Raises:
        UserError: Mesh TensorFlow has no counterpart of a sublayer or of an argument's value.
    """
    layers = [get_sublayer(name).mesh_layer(arguments) for name in arguments["block"]]
    modules = sorted({*MODULES, *(layer.module for layer in layers)})
    macros = {macro: repr(arguments[name]) for name, macro in MACROS.items()}
    bindings = {**_decoder(arguments), **_stack(arguments, layers)}
    for layer in layers:
        for name, rules in layer.configurables.items():
            bindings |= _bindings(name, rules, arguments)
    lines = [f"{name} = {value}" for name, value in {**macros, **bindings}.items()]
    imports = [f"import {module}" for module in modules]
    return "\n".join([*imports, "", HEAD, *lines, ""])


def _bindings(name: str, rules: Rules, arguments: Arguments) -> dict[str, object]:
    """Returns the bindings of a configurable, by the rules for its arguments."""
    short = name.split(".")[-1]
    bindings: dict[str, object] = {}
    for argument, rule in rules.items():
        if isinstance(rule, BackboneArgument):
            macro = MACROS.get(rule.name)
            bindings[f"{short}.{argument}"] = f"%{macro}" if macro else repr(arguments[rule.name])
        elif isinstance(rule, Translated):
            bindings[f"{short}.{argument}"] = rule.write(arguments)
        elif isinstance(rule, Only) and rule.default not in rule.values:
            bindings[f"{short}.{argument}"] = repr(rule.values[0])
    return bindings


def _decoder(arguments: Arguments) -> dict[str, object]:
    length = arguments["max_sequence_length"]
    bindings: dict[str, Any] = {
        "utils.run.sequence_length": {"inputs": 1, "targets": length},
        "Unitransformer.max_length": length,
        # Exactly these rows, for any vocabulary of T5.
        "Unitransformer.vocab_divisor": arguments["vocabulary_size"],
    }
    for name in (known.UNITRANSFORMER, known.INITIALIZER, known.POSITION_BUCKET):
        bindings |= _bindings(name, known.MODEL[name], arguments)
    return bindings


def _stack(arguments: Arguments, layers: Iterable[MeshLayer]) -> dict[str, object]:
    norms = {keras: mesh.split(".")[-1] for mesh, keras in NORMALIZATIONS.items()}
    norm = "@" + norms[arguments["normalization"]]
    mask, dropout = "@transformer.sublayer_mask_padding", "@transformer.sublayer_dropout"
    layer, residual = "@transformer.sublayer_call_layer", "@transformer.sublayer_residual"
    placement = arguments["placement"]
    order = [mask, layer, norm] if placement == "post" else [norm, mask, layer]
    stack = "PrePostNormLayerStack" if placement == "alternating" else "transformer.LayerStack"
    return {
        "transformer.make_layer_stack.layers": _list(f"@{layer.name}" for layer in layers),
        "transformer.make_layer_stack.num_layers": "%num_layers",
        "transformer.make_layer_stack.layer_stack_cls": "@" + stack,
        "transformer.LayerStack.sublayers_initial": _list([dropout]),
        "transformer.LayerStack.sublayers_per_layer": _list([*order, dropout, residual]),
        "transformer.LayerStack.sublayers_final": _list([norm, dropout, mask]),
        "transformer.LayerStack.recompute_grads": arguments["gradient_checkpointing"],
        "sublayer_dropout.dropout_rate": "%dropout_rate",
    }


def _list(items: Iterable[str]) -> str:
    return "[\n" + "".join(f"    {item},\n" for item in items) + "]"
