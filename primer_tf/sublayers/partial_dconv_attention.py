"""Self-attention with a convolution after one projection only, for ablations.

Mesh TensorFlow has no counterpart.
"""

from primer_tf.sublayers.registry import Sublayer, get_sublayer, register_sublayer
from primer_tf.sublayers.self_attention import PROJECTION_AXES, attention_cost


def _entry(stream: str) -> Sublayer:
    """Returns the entry in which only the projection to queries, keys or values is convolved."""

    def layer(arguments):
        # With `kernel_size=None` there is no convolution at all.
        kind, options = get_sublayer("attention").layer(arguments)
        if arguments["kernel_size"] is None:
            return kind, options
        is_shared = arguments["shared_query_key"] and stream != "value"
        return kind, {**options, "convolved": ["query_key" if is_shared else stream]}

    def cost(a):
        return attention_cost(
            a["hidden_dim"],
            a["num_heads"],
            a["head_dim"],
            a["kernel_size"],
            a["shared_query_key"],
            convolved=1,
        )

    return Sublayer(
        name=f"{stream}_dconv_attention",
        layer=layer,
        cost=cost,
        axes={**PROJECTION_AXES, r"\w+_conv/tap_\d+": ("heads",)},
        num_heads=lambda a: a["num_heads"],
    )


for _stream in ("query", "key", "value"):
    register_sublayer(_entry(_stream))
