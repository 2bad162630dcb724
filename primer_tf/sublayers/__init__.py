"""What a decoder block can be made of: one entry for each kind of sublayer.

An entry declares in one place all that is particular to its kind: the Keras layer and its
arguments, the cost, how its weights are laid out over devices, and the Mesh TensorFlow layer with
its gin configurable and variables. The backbone, the cost table, the gin reader and writer, and the
converter read the entries.

Nothing here imports TensorFlow or Keras before a model is built.
"""

# Each of these registers its kind.
from primer_tf.sublayers import (  # noqa: F401
    attention,
    double_heads_attention,
    evolved_convolution,
    feed_forward,
    partial_dconv_attention,
    program,
    switch_feed_forward,
    synthesizer_attention,
    token_shift_attention,
)
from primer_tf.sublayers.gin_arguments import Arguments, BackboneArgument, Only, Translated
from primer_tf.sublayers.mesh_layer import MeshLayer
from primer_tf.sublayers.registry import (
    LayerCost,
    Sublayer,
    check_block,
    get_sublayer,
    make_sublayer,
    mesh_layers,
    register_sublayer,
    sublayer_names,
)

__all__ = [
    "Arguments",
    "BackboneArgument",
    "LayerCost",
    "MeshLayer",
    "Only",
    "Sublayer",
    "Translated",
    "check_block",
    "get_sublayer",
    "make_sublayer",
    "mesh_layers",
    "register_sublayer",
    "sublayer_names",
]
