"""The variables of a model, by their names in Keras and in Mesh TensorFlow.

    decoder/block_0/sublayer_1/feed_forward/intermediate/kernel                  Keras
    transformer/block_000/layer_001/DenseReluDense/wi/kernel                     Mesh TensorFlow

Both hold the same array: no variable is transposed, split or merged on the way.
"""

import re

from primer_tf.errors import UserError
from primer_tf.models import PrimerBackbone
from primer_tf.sublayers import MeshLayer, get_sublayer

# What Mesh TensorFlow puts between a layer and the variables of its normalization.
NORMALIZATIONS = {
    "layer": {
        "gamma": "true_layer_norm/layer_prepostprocess/layer_norm/layer_norm_scale",
        "beta": "true_layer_norm/layer_prepostprocess/layer_norm/layer_norm_bias",
    },
    "rms": {"scale": "rms_norm/scale"},
    "primer": {
        part: f"primer_norm/layer_prepostprocess/primer_norm/primer_norm_{part}"
        for part in ("scale", "bias")
    },
}


def mesh_names(backbone: PrimerBackbone) -> dict[str, str]:
    """Returns the Mesh TensorFlow name of every variable of a backbone.

    Args:
        backbone: A built `PrimerBackbone`.

    Returns:
        Dict from the path of a Keras variable to its name in a Mesh TensorFlow checkpoint.

    Raises:
        UserError: A sublayer or a variable has no counterpart, as those of a quantized model or of
            LoRA.
    """
    return {variable.path: _mesh_name(variable.path, backbone) for variable in backbone.weights}


def _mesh_name(path: str, backbone: PrimerBackbone) -> str:
    if path == "token_embedding/embeddings":
        return "transformer/embedding"
    if match := re.fullmatch(r"decoder/norm/(\w+)", path):
        return "transformer/" + NORMALIZATIONS[backbone.normalization][match[1]]
    if match := re.fullmatch(r"decoder/position_bias_(\d+)_heads/embeddings", path):
        # The first layer with as many heads makes the table; the others share it.
        index, kind = _first_layer_with_heads(int(match[1]), backbone)
        scope = _mesh_layer(kind, backbone).scope
        return f"transformer/block_000/layer_{index:03d}/{scope}/relative_attention_bias"
    if match := re.fullmatch(r"decoder/block_(\d+)/sublayer_(\d+)/(\w+)/(.+)", path):
        layer = f"transformer/block_{int(match[1]):03d}/layer_{int(match[2]):03d}"
        kind, rest = match[3], match[4]
        if kind == "norm":
            return f"{layer}/{NORMALIZATIONS[backbone.normalization][rest]}"
        mesh_layer = _mesh_layer(kind, backbone)
        variables = mesh_layer.variables(backbone.arguments)
        if rest in variables:
            return f"{layer}/{mesh_layer.scope}/{variables[rest]}"
    raise UserError(
        f"The variable {path} has no counterpart in Mesh TensorFlow; convert the model before it "
        "is quantized or given LoRA."
    )


def _mesh_layer(kind: str, backbone: PrimerBackbone) -> MeshLayer:
    return get_sublayer(kind).mesh_layer(backbone.arguments)


def _first_layer_with_heads(num_heads: int, backbone: PrimerBackbone) -> tuple[int, str]:
    for index, kind in enumerate(backbone.block):
        heads = get_sublayer(kind).num_heads
        if heads is not None and heads(backbone.arguments) == num_heads:
            return index, kind
    raise AssertionError(f"no layer has {num_heads} heads")
