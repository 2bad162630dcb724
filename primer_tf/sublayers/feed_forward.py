"""Position-wise feed-forward layer, plain or gated."""

from primer_tf.sublayers.activations import ACTIVATION, ACTIVATION_PARTS
from primer_tf.sublayers.gin_arguments import BackboneArgument, Only
from primer_tf.sublayers.mesh_layer import TRANSFORMER_LAYERS, MeshLayer
from primer_tf.sublayers.registry import LayerCost, Sublayer, pick, register_sublayer


def _layer(arguments):
    from primer_tf.layers.feed_forward import FeedForward

    options = ("intermediate_dim", "activation", "gated", "initializer_scale")
    return FeedForward, pick(arguments, *options)


def _cost(arguments):
    channels, width = arguments["hidden_dim"], arguments["intermediate_dim"]
    hidden = 2 if arguments["gated"] else 1
    products = (hidden + 1) * channels * width
    return LayerCost(
        parameters=products + hidden * width + channels,
        flops=2 * products,
        # Each hidden layer, its activation, and the product of the two if there are two.
        activations=(4 if arguments["gated"] else 2) * width,
    )


def _variables(arguments):
    layers = {"intermediate": "wi", "output": "wo"}
    if arguments["gated"]:
        layers = {"intermediate": "wi_0", "linear": "wi_1", "output": "wo"}
    return {f"{k}/{part}": f"{m}/{part}" for k, m in layers.items() for part in ("kernel", "bias")}


register_sublayer(
    Sublayer(
        name="feed_forward",
        layer=_layer,
        cost=_cost,
        axes={
            "(intermediate|linear)/kernel": ("hidden", "mlp"),
            "(intermediate|linear)/bias": ("mlp",),
            "output/kernel": ("mlp", "hidden"),
            "output/bias": ("hidden",),
        },
        mesh=(
            MeshLayer(
                configurable=f"{TRANSFORMER_LAYERS}.DenseReluDense",
                module=TRANSFORMER_LAYERS,
                arguments={
                    "hidden_size": BackboneArgument("intermediate_dim", 4096),
                    "dropout_rate": BackboneArgument("dropout", 0.1),
                    "activation": ACTIVATION,
                    "use_bias": Only(True, default=False),
                },
                variables=_variables,
                parts=ACTIVATION_PARTS,
            ),
        ),
    )
)
