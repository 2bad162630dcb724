"""Self-attention, with convolutions after its projections (MDHA) or without."""

from primer_tf.errors import UserError
from primer_tf.sublayers.gin_arguments import BackboneArgument, Only, Translated
from primer_tf.sublayers.mesh_layer import PRIMER_LAYERS, TRANSFORMER_LAYERS, MeshLayer
from primer_tf.sublayers.registry import Sublayer, pick, register_sublayer
from primer_tf.sublayers.self_attention import (
    GIN_ARGUMENTS,
    PROJECTION_AXES,
    PROJECTIONS,
    SELF_ATTENTION,
    SELF_ATTENTION_ARGUMENTS,
    attention_cost,
)


def _layer(arguments):
    from primer_tf.layers.causal_self_attention import CausalSelfAttention
    from primer_tf.layers.multi_dconv_head_attention import MultiDConvHeadAttention

    options = ("num_heads", "head_dim", "shared_query_key", "initializer_scale")
    if arguments["kernel_size"] is None:
        return CausalSelfAttention, pick(arguments, *options)
    return MultiDConvHeadAttention, pick(arguments, *options, "kernel_size")


def _streams(arguments):
    """Returns the projections that are convolved, with the letters of Mesh TensorFlow."""
    if arguments["kernel_size"] is None:
        return {}
    if arguments["shared_query_key"]:
        return {"query_key": "qk", "value": "v"}
    return {"query": "q", "key": "k", "value": "v"}


def _taps(arguments):
    return {
        f"{stream}_conv/tap_{shift}": f"{letter}_dconv/conv_{shift}"
        for stream, letter in _streams(arguments).items()
        for shift in range(arguments["kernel_size"])
    }


def _variables(arguments):
    shared = {"query_key/kernel": "q", "query/kernel": "q_solo_project/kernel"}
    names = {**PROJECTIONS, **(shared if arguments["shared_query_key"] else {})}
    return {**names, **_taps(arguments)}


def _read_kernel_size(kernel_size, value_of):
    if value_of("kernel_size") is not None:
        kernel_size = value_of("kernel_size")
    if kernel_size is None and not value_of("share_qk_rep"):
        raise UserError("MDHA without convolutions is SelfAttention.")
    return {"kernel_size": kernel_size}


register_sublayer(
    Sublayer(
        name="attention",
        layer=_layer,
        cost=lambda a: attention_cost(
            a["hidden_dim"], a["num_heads"], a["head_dim"], a["kernel_size"], a["shared_query_key"]
        ),
        axes={**PROJECTION_AXES, r"\w+_conv/tap_\d+": ("heads",)},
        num_heads=lambda a: a["num_heads"],
        mesh=(
            MeshLayer(
                configurable=SELF_ATTENTION,
                module=TRANSFORMER_LAYERS,
                arguments=SELF_ATTENTION_ARGUMENTS,
                variables=lambda a: PROJECTIONS,
                implies={"kernel_size": None, "shared_query_key": False},
            ),
            MeshLayer(
                configurable="t5_models.MDHA",
                module=PRIMER_LAYERS,
                arguments={
                    **GIN_ARGUMENTS,
                    "dropout_rate": BackboneArgument("dropout", 0.0),
                    "z_loss_coeff": Only(None),
                    "share_qk_rep": BackboneArgument("shared_query_key", False),
                    "kernel_size": None,  # in place of that of `causal_depthwise_conv`
                },
                variables=_variables,
                parts={
                    "t5_models.MDHA.call": {"losses": Only(None)},
                    "t5_models.causal_depthwise_conv": {
                        "kernel_size": Translated(3, _read_kernel_size, lambda a: a["kernel_size"])
                    },
                },
            ),
        ),
    )
)
