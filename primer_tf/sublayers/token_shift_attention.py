"""Self-attention after a token shift, for ablations; Mesh TensorFlow has no counterpart."""

import dataclasses

from primer_tf.sublayers.registry import Sublayer, pick, register_sublayer
from primer_tf.sublayers.self_attention import PROJECTION_AXES, attention_cost


def _layer(arguments):
    from primer_tf.layers.token_shift_attention import TokenShiftAttention

    options = ("num_heads", "head_dim", "shared_query_key", "initializer_scale")
    return TokenShiftAttention, pick(arguments, *options)


def _cost(a):
    cost = attention_cost(
        a["hidden_dim"], a["num_heads"], a["head_dim"], shared=a["shared_query_key"]
    )
    return dataclasses.replace(
        cost,
        activations=cost.activations + a["hidden_dim"],
        cache_values=cost.cache_values + a["hidden_dim"] // 2,
    )


register_sublayer(
    Sublayer(
        name="token_shift_attention",
        layer=_layer,
        cost=_cost,
        axes=PROJECTION_AXES,
        num_heads=lambda a: a["num_heads"],
    )
)
