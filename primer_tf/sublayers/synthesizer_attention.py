"""Self-attention with learned scores added (Synthesizer, "random plus")."""

from primer_tf.sublayers.gin_arguments import BackboneArgument, Only
from primer_tf.sublayers.mesh_layer import PRIMER_LAYERS, TRANSFORMER_LAYERS, MeshLayer
from primer_tf.sublayers.registry import Sublayer, pick, register_sublayer
from primer_tf.sublayers.self_attention import (
    GIN_ARGUMENTS,
    PROJECTION_AXES,
    PROJECTIONS,
    attention_cost,
)

_GIN_ARGUMENTS = {**GIN_ARGUMENTS, "dropout_rate": BackboneArgument("dropout", 0.0)}
_OURS = (
    "num_heads",
    "key_value_size",
    "dropout_rate",
    "relative_attention_type",
    "relative_attention_num_buckets",
)


def _layer(arguments):
    from primer_tf.layers.synthesizer_attention import SynthesizerAttention

    return SynthesizerAttention, {
        **pick(arguments, "num_heads", "head_dim"),
        "max_length": arguments["synthesizer_length"],
    }


def _check(arguments):
    longest, positions = arguments["max_sequence_length"], arguments["synthesizer_length"]
    if longest > positions:
        raise ValueError(
            f"`max_sequence_length` {longest} is beyond the {positions} positions for which "
            "Synthesizer attention has learned scores (`synthesizer_length`)."
        )


def _variables(arguments):
    return {**PROJECTIONS, "synthetic_scores": "R"}


register_sublayer(
    Sublayer(
        name="synthesizer_attention",
        layer=_layer,
        cost=lambda a: attention_cost(
            a["hidden_dim"],
            a["num_heads"],
            a["head_dim"],
            learned_scores=a["num_heads"] * a["synthesizer_length"] ** 2,
        ),
        axes={**PROJECTION_AXES, "synthetic_scores": ("positions", "heads", None)},
        num_heads=lambda a: a["num_heads"],
        check=_check,
        mesh=(
            # Mesh TensorFlow's own, which has the number of positions as a constant.
            MeshLayer(
                configurable=f"{TRANSFORMER_LAYERS}.Synthesizer",
                module=TRANSFORMER_LAYERS,
                arguments={
                    **_GIN_ARGUMENTS,
                    "synthesize_mode": Only("random_plus", default="random_plus_alpha"),
                },
                variables=_variables,
                implies={"synthesizer_length": 512},
            ),
            MeshLayer(
                configurable="primer_tf.mesh.RandomSynthesizer",
                module=PRIMER_LAYERS,
                arguments={
                    **pick(_GIN_ARGUMENTS, *_OURS),
                    "max_length": BackboneArgument("synthesizer_length", 512),
                },
                variables=_variables,
                scope="Synthesizer",
            ),
        ),
    )
)
