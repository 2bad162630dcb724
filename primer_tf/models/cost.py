"""What a model costs: parameters, arithmetic and memory, computed from its arguments."""

import dataclasses
import inspect

from primer_tf.keywords import check_keywords
from primer_tf.models.primer_backbone import PrimerBackbone, check_block
from primer_tf.zoo.presets import format_table, preset_arguments, preset_names


@dataclasses.dataclass(frozen=True)
class ModelCost:
    """The cost of a model.

    Floating point operations (FLOPs) are those of matrix products, convolutions, attention and the
    softmax head, a multiply-add as two; element-wise work and the embedding's lookup are left out.
    Of experts a token pays for the one it is sent to.

    Attributes:
        parameters: Number of weights.
        active_parameters: Of these, all but the experts that a token is not sent to.
        train_flops: FLOPs for a token in training: the forward pass, and twice that for the
            gradients (once more for the blocks with gradient checkpointing).
        decode_flops: FLOPs to generate a token at the end of the sequence, with a cache.
        activation_values: Numbers that training keeps for a token between the forward pass and the
            gradients; times 4 it is bytes in float32. Not the logits: they are made anew in chunks.
    """

    parameters: int
    active_parameters: int
    train_flops: int
    decode_flops: int
    activation_values: int


@dataclasses.dataclass(frozen=True)
class _LayerCost:
    """The cost of a layer, by token or by token and key; a token spares `inactive` parameters."""

    parameters: int
    flops: int
    activations: int
    flops_per_key: int = 0
    activations_per_key: int = 0
    inactive: int = 0


def model_cost(arguments, sequence_length=None):
    """Returns the cost of a `PrimerBackbone` with its head.

    Args:
        arguments: Dict of arguments of `PrimerBackbone`; the others are at their defaults.
        sequence_length: Tokens in a sequence, each of which attends to as many keys: those of the
            future are computed and masked. Default: `max_sequence_length`.

    Returns:
        A `ModelCost`.

    Raises:
        ValueError: Arguments that the backbone would not take either.

    Example:

    >>> model_cost({"num_layers": 12, "hidden_dim": 768, "num_heads": 12}).train_flops
    """
    parameters = inspect.signature(PrimerBackbone.__init__).parameters.values()
    a = {p.name: p.default for p in parameters if p.default is not p.empty}
    check_keywords("PrimerBackbone", arguments, a)
    a.update(arguments)
    check_block(a)
    keys = sequence_length or a["max_sequence_length"]
    channels, vocabulary_size = a["hidden_dim"], a["vocabulary_size"]
    layers = [LAYERS[name](a) for name in a["block"]]
    norm = channels * (1 if a["normalization"] == "rms" else 2)
    heads = {HEADS[name](a) for name in a["block"] if name in HEADS}

    block_flops = sum(layer.flops + layer.flops_per_key * keys for layer in layers)
    forward_flops = a["num_layers"] * block_flops + 2 * channels * vocabulary_size
    train_flops = 3 * forward_flops
    # The sum of a sublayer and what it is added to, and the normalized values.
    block_activations = sum(
        layer.activations + layer.activations_per_key * keys + 2 * channels for layer in layers
    )
    activations = a["num_layers"] * block_activations
    if a["gradient_checkpointing"]:
        train_flops += a["num_layers"] * block_flops
        activations = a["num_layers"] * channels + block_activations
    weights = a["num_layers"] * sum(layer.parameters + norm for layer in layers)
    weights += vocabulary_size * channels + norm + sum(heads) * a["num_buckets"]
    return ModelCost(
        parameters=weights,
        active_parameters=weights - a["num_layers"] * sum(layer.inactive for layer in layers),
        train_flops=train_flops,
        decode_flops=forward_flops,
        activation_values=activations + 2 * channels,
    )


def cost_table():
    """Returns what each preset costs, as a table; see `ModelCost`."""
    rows = [("gin file", "parameters", "train MFLOPs", "decode MFLOPs", "activations KiB")]
    for name in preset_names():
        cost = model_cost(preset_arguments(name))
        rows.append(
            (
                f"models/{name}.gin",
                f"{cost.parameters:,}",
                f"{cost.train_flops / 1e6:,.1f}",
                f"{cost.decode_flops / 1e6:,.1f}",
                f"{cost.activation_values * 4 / 1024:,.0f}",
            )
        )
    return format_table(rows) + (
        "\nFor each token of a full sequence; a multiply-add is two operations; activations: "
        "what training keeps of it, in float32."
    )


def _attention(channels, heads, head_dim, kernel_size=None, shared=False, learned_scores=0):
    inner = heads * head_dim
    streams = 2 if shared else 3
    taps = streams * (kernel_size or 0) * inner
    products = streams * channels * inner + inner * channels + (inner * inner if shared else 0)
    return _LayerCost(
        parameters=products + taps + learned_scores,
        flops=2 * (products + taps),
        # Q, K, V, what the convolutions make them of, and the weighted values.
        activations=(3 + (streams if kernel_size else 0) + 1) * inner,
        # Scores, and sums of values.
        flops_per_key=2 * 2 * inner,
        activations_per_key=heads,
    )


def _feed_forward(a):
    channels, width, hidden = a["hidden_dim"], a["intermediate_dim"], 2 if a["gated"] else 1
    products = (hidden + 1) * channels * width
    return _LayerCost(
        parameters=products + hidden * width + channels,
        flops=2 * products,
        # Each hidden layer, its activation, and the product of the two if there are two.
        activations=(4 if a["gated"] else 2) * width,
    )


def _switch_feed_forward(a):
    channels, width, experts = a["hidden_dim"], a["intermediate_dim"], a["num_experts"]
    expert = (3 if a["gated"] else 2) * channels * width
    router = channels * experts
    # An expert's inputs and outputs are copies, for as many tokens as it has room for.
    room = a["capacity_factor"]
    return _LayerCost(
        parameters=experts * expert + router,
        flops=2 * (expert + router),
        activations=3 * experts + round(room * ((4 if a["gated"] else 2) * width + 2 * channels)),
        inactive=(experts - 1) * expert,
    )


def _evolved_convolution(a):
    channels = a["hidden_dim"]
    taps = 11 * channels + 7 * channels + 7 * 2 * channels
    products = channels * 2 * channels + channels * (channels // 2) + 2 * channels * channels
    biases = channels + 2 * channels + channels + channels // 2 + 2 * channels + channels
    return _LayerCost(
        parameters=taps + products + biases + 2 * 2 * channels,
        flops=2 * (taps + products),
        # Per convolution its input and what lies between its two parts; before and after the norm.
        activations=channels + 2 * channels + 2 * channels + 3 * 2 * channels + 2 * channels,
    )


# For each sublayer of a block, its cost, and the number of its heads if it has some.
LAYERS = {
    "attention": lambda a: _attention(
        a["hidden_dim"], a["num_heads"], a["head_dim"], a["kernel_size"], a["shared_query_key"]
    ),
    "double_heads_attention": lambda a: _attention(
        a["hidden_dim"], 2 * a["num_heads"], a["head_dim"] // 2
    ),
    "synthesizer_attention": lambda a: _attention(
        a["hidden_dim"],
        a["num_heads"],
        a["head_dim"],
        learned_scores=a["num_heads"] * a["synthesizer_length"] ** 2,
    ),
    "evolved_convolution": _evolved_convolution,
    "feed_forward": _feed_forward,
    "switch_feed_forward": _switch_feed_forward,
}
HEADS = {
    "attention": lambda a: a["num_heads"],
    "double_heads_attention": lambda a: 2 * a["num_heads"],
    "synthesizer_attention": lambda a: a["num_heads"],
}
