"""The variables of a model, by their names in Keras and in Mesh TensorFlow.

    decoder/block_0/sublayer_1/feed_forward/intermediate/kernel                  Keras
    transformer/block_000/layer_001/DenseReluDense/wi/kernel                     Mesh TensorFlow

Both hold the same array: no variable is transposed, split or merged on the way.
"""

import re

from primer_tf.errors import UserError

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


def _attention(backbone):
    if backbone.kernel_size is None and not backbone.shared_query_key:
        return "SelfAttention", _PROJECTIONS
    return "MDHA", {**_PROJECTIONS, **_convolutions(backbone)}


_PROJECTIONS = {
    "query/kernel": "q",
    "key/kernel": "k",
    "value/kernel": "v",
    "attention_output/kernel": "o",
}


def _convolutions(backbone):
    streams = {"query": "q", "key": "k", "value": "v"}
    names = {}
    if backbone.shared_query_key:
        streams = {"query_key": "qk", "value": "v"}
        names = {"query_key/kernel": "q", "query/kernel": "q_solo_project/kernel"}
    for stream, short in streams.items():
        for shift in range(backbone.kernel_size or 0):
            names[f"{stream}_conv/tap_{shift}"] = f"{short}_dconv/conv_{shift}"
    return names


def _feed_forward(backbone):
    dense = {"intermediate": "wi_0", "linear": "wi_1"} if backbone.gated else {"intermediate": "wi"}
    return "DenseReluDense", {
        f"{keras}/{part}": f"{mesh}/{part}"
        for keras, mesh in {**dense, "output": "wo"}.items()
        for part in ("kernel", "bias")
    }


def _double_heads_attention(backbone):
    return "DoubleHeadsAttentionLayer/double_heads_attention", _PROJECTIONS


def _synthesizer_attention(backbone):
    return "Synthesizer", {**_PROJECTIONS, "synthetic_scores": "R"}


def _evolved_convolution(backbone):
    norm = "layer_prepostprocess/layer_norm/layer_norm_"
    names = {"norm/gamma": norm + "scale", "norm/beta": norm + "bias"}
    for branch, conv, width in (
        ("left", "sep_conv11x1", 11),
        ("right", "sep_conv7x1_1", 7),
        ("output", "sep_conv7x1_2", 7),
    ):
        conv += "/separable_conv1d"
        depthwise = conv + "/depthwise_conv_hack/depthwise_dense_"
        names[f"{branch}/depthwise_bias"] = depthwise + "0/bias"
        for shift in range(width):
            # Mesh TensorFlow counts its taps from the earliest position.
            names[f"{branch}/depthwise/tap_{shift}"] = f"{depthwise}{width - 1 - shift}/kernel"
        for part in ("kernel", "bias"):
            names[f"{branch}/pointwise/{part}"] = f"{conv}/pointwise_dense/{part}"
    return "DecoderConvolutionalLayer", names


def _switch_feed_forward(backbone):
    kernels = {"linear": "wi_1", "intermediate": "wi_0"} if backbone.gated else {}
    kernels = kernels or {"intermediate": "wi"}
    return "MoE1D", {
        "router_kernel": "switch_gating/kernel",
        **{f"{keras}_kernel": f"{mesh}/kernel" for keras, mesh in kernels.items()},
        "output_kernel": "wo/kernel",
    }


# For each sublayer of a block: the scope of its variables, and their names in it.
LAYERS = {
    "attention": _attention,
    "double_heads_attention": _double_heads_attention,
    "synthesizer_attention": _synthesizer_attention,
    "evolved_convolution": _evolved_convolution,
    "feed_forward": _feed_forward,
    "switch_feed_forward": _switch_feed_forward,
}


def mesh_names(backbone):
    """Returns the Mesh TensorFlow name of every variable of a backbone.

    Args:
        backbone: A built `PrimerBackbone`.

    Returns:
        Dict from the path of a Keras variable to its name in a Mesh TensorFlow checkpoint.

    Raises:
        UserError: A variable has no counterpart, as those of a quantized model or of LoRA.
    """
    return {variable.path: _mesh_name(variable.path, backbone) for variable in backbone.weights}


def _mesh_name(path, backbone):
    if path == "token_embedding/embeddings":
        return "transformer/embedding"
    if match := re.fullmatch(r"decoder/norm/(\w+)", path):
        return "transformer/" + NORMALIZATIONS[backbone.normalization][match[1]]
    if match := re.fullmatch(r"decoder/position_bias_(\d+)_heads/embeddings", path):
        # The first layer with as many heads makes the table; the others share it.
        index, kind = _first_layer_with_heads(int(match[1]), backbone)
        scope, _ = LAYERS[kind](backbone)
        return f"transformer/block_000/layer_{index:03d}/{scope}/relative_attention_bias"
    if match := re.fullmatch(r"decoder/block_(\d+)/sublayer_(\d+)/(\w+)/(.+)", path):
        layer = f"transformer/block_{int(match[1]):03d}/layer_{int(match[2]):03d}"
        kind, rest = match[3], match[4]
        if kind == "norm":
            return f"{layer}/{NORMALIZATIONS[backbone.normalization][rest]}"
        scope, names = LAYERS[kind](backbone)
        if rest in names:
            return f"{layer}/{scope}/{names[rest]}"
    raise UserError(
        f"The variable {path} has no counterpart in Mesh TensorFlow; convert the model before it "
        "is quantized or given LoRA."
    )


def _first_layer_with_heads(num_heads, backbone):
    for index, sublayer in enumerate(backbone.decoder.blocks[0].sublayers):
        if getattr(sublayer.layer, "num_heads", None) == num_heads:
            return index, backbone.block[index]
    raise AssertionError(f"no layer has {num_heads} heads")
