"""What a model costs: parameters, arithmetic and memory, computed from its arguments."""

import dataclasses
import inspect

from primer_tf.gin_config.presets import format_table, preset_arguments, preset_names
from primer_tf.keywords import check_keywords
from primer_tf.models.primer_backbone import PrimerBackbone
from primer_tf.sublayers import Arguments, check_block, get_sublayer


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
        cache_values: Numbers that decoding keeps for a token.
        activation_values: Numbers that training keeps for a token between the forward pass and the
            gradients; times 4 it is bytes in float32. Not the logits: they are computed in chunks.
        split_activation_values: Of these, the ones between the products of a sublayer, which tensor
            parallelism splits over devices.
    """

    parameters: int
    active_parameters: int
    train_flops: int
    decode_flops: int
    cache_values: int
    activation_values: int
    split_activation_values: int


def model_cost(arguments: Arguments, sequence_length: int | None = None) -> ModelCost:
    """Returns the cost of a `PrimerBackbone` with its head.

    Args:
        arguments: Arguments of `PrimerBackbone`; those left out are at their defaults.
        sequence_length: Tokens in a sequence. Each attends to as many keys, as those of the future
            are computed and masked. Defaults to `max_sequence_length`.

    Returns:
        A `ModelCost`.

    Raises:
        ValueError: `PrimerBackbone` does not take the arguments.

    Example:

    >>> from primer_tf.models.cost import model_cost
    >>> model_cost({"num_layers": 12, "hidden_dim": 768, "num_heads": 12}).train_flops
    601528320
    """
    parameters = inspect.signature(PrimerBackbone.__init__).parameters.values()
    a = {p.name: p.default for p in parameters if p.default is not p.empty}
    check_keywords("PrimerBackbone", arguments, a)
    a.update(arguments)
    check_block(a)
    keys = sequence_length or a["max_sequence_length"]
    channels, vocabulary_size = a["hidden_dim"], a["vocabulary_size"]
    kinds = [get_sublayer(name) for name in a["block"]]
    layers = [kind.cost(a) for kind in kinds]
    norm = channels * (1 if a["normalization"] == "rms" else 2)
    counts = {kind.num_heads(a) for kind in kinds if kind.num_heads}
    heads = {count for count in counts if count is not None}

    block_flops = sum(layer.flops + layer.flops_per_key * keys for layer in layers)
    forward_flops = a["num_layers"] * block_flops + 2 * channels * vocabulary_size
    train_flops = 3 * forward_flops
    # The sum of a sublayer and what it is added to, and the normalized values.
    block_split = sum(layer.activations + layer.activations_per_key * keys for layer in layers)
    block_activations = block_split + 2 * channels * len(layers)
    blocks_kept, activations = a["num_layers"], 0
    if a["gradient_checkpointing"]:
        train_flops += a["num_layers"] * block_flops
        blocks_kept, activations = 1, a["num_layers"] * channels
    activations += blocks_kept * block_activations
    norms = norm * sum(not kind.is_whole_block for kind in kinds)
    weights = a["num_layers"] * (norms + sum(layer.parameters for layer in layers))
    weights += vocabulary_size * channels + norm + sum(heads) * a["num_buckets"]
    return ModelCost(
        parameters=weights,
        active_parameters=weights - a["num_layers"] * sum(layer.inactive for layer in layers),
        train_flops=train_flops,
        decode_flops=forward_flops,
        cache_values=a["num_layers"] * sum(layer.cache_values for layer in layers),
        activation_values=activations + 2 * channels,
        split_activation_values=blocks_kept * block_split,
    )


def cost_table() -> str:
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
