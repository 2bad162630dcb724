"""From the arguments of a `PrimerBackbone` to the gin file of the same Mesh TensorFlow model.

The inverse of `model_arguments`. The file stands alone: it includes no other, so it means the same
wherever it lies.
"""

from primer_tf.errors import UserError
from primer_tf.gin_config.model_arguments import ACTIVATIONS, NORMALIZATIONS

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

# The same activation by another name in Keras.
ALIASES = {"silu": "swish", "hard_swish": "hard_silu", "celu": "elu"}

HEAD = """\
import mesh_tensorflow.optimize
import mesh_tensorflow.transformer.evolved_transformer
import mesh_tensorflow.transformer.learning_rate_schedules
import mesh_tensorflow.transformer.moe
import mesh_tensorflow.transformer.transformer
import mesh_tensorflow.transformer.transformer_layers
import primer_tf.mesh.layers

utils.run.model_type = "lm"
utils.run.layout_rules = \
    "ensemble:ensemble,batch:batch,d_ff:model,heads:model,vocab:model,experts:batch"
utils.get_variable_dtype.master_dtype = "float32"
utils.get_variable_dtype.slice_dtype = "float32"
Unitransformer.positional_embedding = False
Unitransformer.shared_embedding_and_softmax_weights = True
Unitransformer.label_smoothing = 0.0
"""


def write(arguments):
    """Returns the text of a gin file that describes a backbone.

    Args:
        arguments: Dict of all architectural arguments of a `PrimerBackbone`.

    Returns:
        Text.

    Raises:
        UserError: Mesh TensorFlow has no counterpart of an argument's value.
    """
    lines = [f"{macro} = {arguments[name]!r}" for name, macro in MACROS.items()]
    bindings = {**_decoder(arguments), **_stack(arguments)}
    for name in dict.fromkeys(arguments["block"]):
        bindings |= LAYERS[name](arguments)[1]
    lines += [f"{name} = {value}" for name, value in bindings.items()]
    return HEAD + "\n" + "\n".join(lines) + "\n"


def _decoder(arguments):
    length = arguments["max_sequence_length"]
    return {
        "utils.run.sequence_length": {"inputs": 1, "targets": length},
        "Unitransformer.d_model": "%d_model",
        "Unitransformer.max_length": length,
        # Exactly these rows, whatever vocabulary T5 is given.
        "Unitransformer.vocab_divisor": arguments["vocabulary_size"],
        "VarianceScalingInitializer.scale": arguments["initializer_scale"],
        "relative_position_bucket.max_distance": arguments["max_distance"],
    }


def _stack(arguments):
    norms = {keras: mesh.split(".")[-1] for mesh, keras in NORMALIZATIONS.items()}
    norm = "@" + norms[arguments["normalization"]]
    mask, dropout = "@transformer.sublayer_mask_padding", "@transformer.sublayer_dropout"
    layer, residual = "@transformer.sublayer_call_layer", "@transformer.sublayer_residual"
    placement = arguments["placement"]
    order = [mask, layer, norm] if placement == "post" else [norm, mask, layer]
    stack = "PrePostNormLayerStack" if placement == "alternating" else "transformer.LayerStack"
    layers = ["@" + LAYERS[name](arguments)[0] for name in arguments["block"]]
    return {
        "transformer.make_layer_stack.layers": _list(layers),
        "transformer.make_layer_stack.num_layers": "%num_layers",
        "transformer.make_layer_stack.layer_stack_cls": "@" + stack,
        "transformer.LayerStack.sublayers_initial": _list([dropout]),
        "transformer.LayerStack.sublayers_per_layer": _list([*order, dropout, residual]),
        "transformer.LayerStack.sublayers_final": _list([norm, dropout, mask]),
        "transformer.LayerStack.recompute_grads": arguments["gradient_checkpointing"],
        "sublayer_dropout.dropout_rate": "%dropout_rate",
    }


def _list(items):
    return "[\n" + "".join(f"    {item},\n" for item in items) + "]"


# What each sublayer of a block is in Mesh TensorFlow: a configurable, and its bindings.


def _attention_bindings(name, arguments):
    return {
        f"{name}.num_heads": "%num_heads",
        f"{name}.key_value_size": "%d_kv",
        f"{name}.dropout_rate": "%dropout_rate",
        f"{name}.relative_attention_type": '"bias_shared"',
        f"{name}.relative_attention_num_buckets": arguments["num_buckets"],
    }


def _attention(arguments):
    kernel_size, shared = arguments["kernel_size"], arguments["shared_query_key"]
    if kernel_size is None and not shared:
        return "SelfAttention", _attention_bindings("SelfAttention", arguments)
    return "MDHA", {
        **_attention_bindings("MDHA", arguments),
        "MDHA.share_qk_rep": shared,
        "causal_depthwise_conv.kernel_size": kernel_size,
    }


def _double_heads_attention(arguments):
    name = "DoubleHeadsAttentionLayer"
    return name, {
        # What it does not say itself it takes from this.
        **_attention_bindings("SelfAttention", arguments),
        f"{name}.base_num_heads": "%num_heads",
        f"{name}.key_value_size": "%d_kv",
        f"{name}.dropout_rate": "%dropout_rate",
    }


def _synthesizer_attention(arguments):
    name, length = "RandomSynthesizer", arguments["synthesizer_length"]
    if length == 512:
        name, own = "Synthesizer", {"Synthesizer.synthesize_mode": '"random_plus"'}
    else:
        own = {f"{name}.max_length": length}
    return name, {**_attention_bindings(name, arguments), **own}


def _evolved_convolution(arguments):
    return "DecoderConvolutionalLayer", {
        "DecoderConvolutionalLayer.d_model": "%d_model",
        "DecoderConvolutionalLayer.dropout_rate": "%dropout_rate",
    }


def _feed_forward(arguments):
    return "DenseReluDense", {
        "DenseReluDense.hidden_size": "%d_ff",
        "DenseReluDense.use_bias": True,
        "DenseReluDense.dropout_rate": "%dropout_rate",
        "DenseReluDense.activation": _activation(arguments),
    }


def _switch_feed_forward(arguments):
    values = {
        "moe_gating": '"switch"',
        "hidden_size": "%d_ff",
        "dropout_rate": "%dropout_rate",
        "activation": _activation(arguments),
        "num_experts": arguments["num_experts"],
        "capacity_factor_train": arguments["capacity_factor"],
        "capacity_factor_eval": arguments["eval_capacity_factor"],
        "min_expert_capacity": arguments["min_expert_capacity"],
        "group_size": arguments["group_size"],
        "switch_jitter": arguments["router_jitter"],
        "loss_coef": arguments["load_balance_loss"],
        "z_loss": _router_z_loss(arguments),
    }
    return "MoE1D", {f"MoE1D.{name}": value for name, value in values.items()}


def _router_z_loss(arguments):
    """Returns Mesh TensorFlow's factor, by which it multiplies that of the other loss."""
    z_loss, balance = arguments["router_z_loss"], arguments["load_balance_loss"]
    if not z_loss:
        return None
    if not balance:
        raise UserError(
            f"Mesh TensorFlow has no router_z_loss ({z_loss}) without a load_balance_loss; set "
            "both, or neither."
        )
    return z_loss / balance


def _activation(arguments):
    name = ALIASES.get(arguments["activation"], arguments["activation"])
    for mesh, keras in ACTIVATIONS.items():
        if keras == name:
            shown = f"@{mesh}" if "." in mesh else f'"{mesh}"'
            return f'[{shown}, "linear"]' if arguments["gated"] else f"[{shown}]"
    raise UserError(f"Mesh TensorFlow has no counterpart of the activation {name!r}.")


LAYERS = {
    "attention": _attention,
    "double_heads_attention": _double_heads_attention,
    "synthesizer_attention": _synthesizer_attention,
    "evolved_convolution": _evolved_convolution,
    "feed_forward": _feed_forward,
    "switch_feed_forward": _switch_feed_forward,
}
