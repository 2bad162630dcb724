"""What the kinds of self-attention have in common."""

from __future__ import annotations

from primer_tf.sublayers.gin_arguments import BackboneArgument, Only
from primer_tf.sublayers.mesh_layer import TRANSFORMER_LAYERS
from primer_tf.sublayers.registry import LayerCost

# The projections by their names in Mesh TensorFlow.
PROJECTIONS = {
    "query/kernel": "q",
    "key/kernel": "k",
    "value/kernel": "v",
    "attention_output/kernel": "o",
}

SELF_ATTENTION = f"{TRANSFORMER_LAYERS}.SelfAttention"

# The logical axes of the projections. Where queries are projected from the keys, the input of that
# projection, `[B, T, H * D]`, is mixed across heads, so it counts as hidden.
PROJECTION_AXES = {
    "(query|key|query_key|value)/kernel": ("hidden", "heads"),
    "attention_output/kernel": ("heads", "hidden"),
}

# The arguments of Mesh TensorFlow's `SelfAttention` that its subclasses have too.
GIN_ARGUMENTS = {
    "num_heads": BackboneArgument("num_heads", 8),
    "num_memory_heads": Only(0),
    "key_value_size": BackboneArgument("head_dim", 128),
    "shared_kv": Only(False),
    "dropout_rate": BackboneArgument("dropout", 0.1),
    "attention_kwargs": Only(None),
    "relative_attention_type": Only("bias_shared", default=None),
    "relative_attention_num_buckets": BackboneArgument("num_buckets", 32),
    "attention_func": Only(None),
    "combine_dims": Only(True),
    "keep_query_heads_dims": Only(False),
    "fold_scaling_into_initializer": Only(True),
}

# Those that only it has.
SELF_ATTENTION_ARGUMENTS = {
    **GIN_ARGUMENTS,
    "z_loss_coeff": Only(None),
    "use_hyperprompt": Only(False),
    # What these prompts would be like.
    "hyperprompt_mtlshare": False,
    "hyperprompt_length_encoder": None,
    "hyperprompt_length_decoder": None,
    "hyperprompt_hidden_dim": None,
    "hyperprompt_task_num": 8,
}


def attention_cost(
    channels: int,
    heads: int,
    head_dim: int,
    kernel_size: int | None = None,
    shared: bool = False,
    learned_scores: int = 0,
    convolved: int | None = None,
) -> LayerCost:
    """Returns the `LayerCost` of self-attention.

    Args:
        channels: Channels of the hidden states, `C`.
        heads: Number of heads, `H`.
        head_dim: Channels of a head, `D`.
        kernel_size: Width of the convolutions after the projections; `None` for none.
        shared: Whether queries are projected from the keys.
        learned_scores: Number of weights that are scores themselves.
        convolved: How many projections are convolved. Defaults to all.
    """
    inner = heads * head_dim
    streams = 2 if shared else 3
    convolutions = (streams if convolved is None else convolved) if kernel_size else 0
    taps = convolutions * (kernel_size or 0) * inner
    products = streams * channels * inner + inner * channels + (inner * inner if shared else 0)
    return LayerCost(
        parameters=products + taps + learned_scores,
        flops=2 * (products + taps),
        # Q, K, V, the outputs of the convolutions, and the weighted values.
        activations=(3 + convolutions + 1) * inner,
        # Scores, and sums of values.
        flops_per_key=2 * 2 * inner,
        activations_per_key=heads,
        cache_values=(2 + convolutions) * inner,
    )
