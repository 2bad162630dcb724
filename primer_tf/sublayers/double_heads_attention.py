"""Self-attention of the Evolved Transformer's decoder: twice the heads at half the size."""

from primer_tf.sublayers.gin_arguments import BackboneArgument
from primer_tf.sublayers.mesh_layer import PRIMER_LAYERS, MeshLayer
from primer_tf.sublayers.registry import Sublayer, register_sublayer
from primer_tf.sublayers.self_attention import (
    PROJECTION_AXES,
    PROJECTIONS,
    SELF_ATTENTION,
    SELF_ATTENTION_ARGUMENTS,
    attention_cost,
)

# What it gives the `SelfAttention` inside it; all else is as that is bound.
_OWN = ("num_heads", "key_value_size", "dropout_rate")


def _layer(arguments):
    from primer_tf.layers.causal_self_attention import CausalSelfAttention

    return CausalSelfAttention, {
        "num_heads": 2 * arguments["num_heads"],
        "head_dim": arguments["head_dim"] // 2,
    }


def _check(arguments):
    if arguments["head_dim"] % 2:
        raise ValueError(
            "Double-heads attention halves `head_dim`, which must be even; received "
            f"{arguments['head_dim']}."
        )


register_sublayer(
    Sublayer(
        name="double_heads_attention",
        layer=_layer,
        cost=lambda a: attention_cost(a["hidden_dim"], 2 * a["num_heads"], a["head_dim"] // 2),
        axes=PROJECTION_AXES,
        num_heads=lambda a: 2 * a["num_heads"],
        check=_check,
        mesh=(
            MeshLayer(
                configurable="t5_models.DoubleHeadsAttentionLayer",
                module=PRIMER_LAYERS,
                arguments={
                    "base_num_heads": BackboneArgument("num_heads"),
                    "key_value_size": BackboneArgument("head_dim"),
                    "dropout_rate": BackboneArgument("dropout"),
                },
                variables=lambda a: PROJECTIONS,
                scope="DoubleHeadsAttentionLayer/double_heads_attention",
                parts={
                    SELF_ATTENTION: {
                        name: rule
                        for name, rule in SELF_ATTENTION_ARGUMENTS.items()
                        if name not in _OWN
                    }
                },
            ),
        ),
    )
)
