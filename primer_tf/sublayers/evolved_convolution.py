"""The convolution layer of the Evolved Transformer's decoder."""

from primer_tf.sublayers.gin_arguments import BackboneArgument, Only
from primer_tf.sublayers.mesh_layer import TRANSFORMER_LAYERS, MeshLayer
from primer_tf.sublayers.registry import LayerCost, Sublayer, register_sublayer

_MODULE = "mesh_tensorflow.transformer.evolved_transformer"

# Width of each of the three convolutions, with its scope in Mesh TensorFlow.
_CONVOLUTIONS = {
    "left": (11, "sep_conv11x1"),
    "right": (7, "sep_conv7x1_1"),
    "output": (7, "sep_conv7x1_2"),
}


def _layer(arguments):
    from primer_tf.layers.evolved_convolution import EvolvedConvolution

    return EvolvedConvolution, {}


def _cost(arguments):
    channels = arguments["hidden_dim"]
    taps = 11 * channels + 7 * channels + 7 * 2 * channels
    products = channels * 2 * channels + channels * (channels // 2) + 2 * channels * channels
    biases = channels + 2 * channels + channels + channels // 2 + 2 * channels + channels
    return LayerCost(
        parameters=taps + products + biases + 2 * 2 * channels,
        flops=2 * (taps + products),
        # Of each convolution the input and what its two parts exchange; around the norm.
        activations=channels + 2 * channels + 2 * channels + 3 * 2 * channels + 2 * channels,
        cache_values=3 * channels,
    )


def _variables(arguments):
    norm = "layer_prepostprocess/layer_norm/layer_norm_"
    names = {"norm/gamma": norm + "scale", "norm/beta": norm + "bias"}
    for name, (width, scope) in _CONVOLUTIONS.items():
        conv = f"{scope}/separable_conv1d"
        depthwise = f"{conv}/depthwise_conv_hack/depthwise_dense_"
        names[f"{name}/depthwise_bias"] = f"{depthwise}0/bias"
        for shift in range(width):
            # Mesh TensorFlow counts its taps from the earliest position.
            names[f"{name}/depthwise/tap_{shift}"] = f"{depthwise}{width - 1 - shift}/kernel"
        for part in ("kernel", "bias"):
            names[f"{name}/pointwise/{part}"] = f"{conv}/pointwise_dense/{part}"
    return names


register_sublayer(
    Sublayer(
        name="evolved_convolution",
        layer=_layer,
        cost=_cost,
        axes={
            r"(left|right)/(depthwise_bias|depthwise/tap_\d+)": ("hidden",),
            "(left|right)/pointwise/kernel": ("hidden", "mlp"),
            "(left|right)/pointwise/bias": ("mlp",),
            "norm/(gamma|beta)": ("mlp",),
            r"output/(depthwise_bias|depthwise/tap_\d+)": ("mlp",),
            "output/pointwise/kernel": ("mlp", "hidden"),
            "output/pointwise/bias": ("hidden",),
        },
        mesh=(
            MeshLayer(
                configurable=f"{_MODULE}.DecoderConvolutionalLayer",
                module=_MODULE,
                arguments={
                    "d_model": BackboneArgument("hidden_dim"),
                    "dropout_rate": BackboneArgument("dropout"),
                    "initializer_scale": Only(1.0),
                    "norm_epsilon": Only(1e-6),
                },
                variables=_variables,
                # The layer gives it all arguments but the activation of two of the three.
                parts={
                    f"{TRANSFORMER_LAYERS}.SeparableConv1DLayer": {
                        "min_relative_pos": None,
                        "max_relative_pos": None,
                        "output_size": None,
                        "depthwise_filter_initializer_scale": 1.0,
                        "pointwise_filter_initializer_scale": 1.0,
                        "activation": Only("linear", None),
                    }
                },
            ),
        ),
    )
)
