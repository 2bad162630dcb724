"""What a decoder block can be made of: one entry for each kind of sublayer.

An entry declares in one place all that is particular to its kind: the Keras layer and its
arguments, the cost, how its weights are laid out over devices, and the Mesh TensorFlow layer with
its gin configurable and variables. The backbone, the cost table, the gin reader and writer, and the
converter read the entries.

Nothing here imports TensorFlow or Keras before a model is built.
"""

from primer_tf.sublayers.attention import ATTENTION
from primer_tf.sublayers.double_heads_attention import DOUBLE_HEADS_ATTENTION
from primer_tf.sublayers.evolved_convolution import EVOLVED_CONVOLUTION
from primer_tf.sublayers.feed_forward import FEED_FORWARD
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
from primer_tf.sublayers.switch_feed_forward import SWITCH_FEED_FORWARD
from primer_tf.sublayers.synthesizer_attention import SYNTHESIZER_ATTENTION

__all__ = [
    "ATTENTION",
    "DOUBLE_HEADS_ATTENTION",
    "EVOLVED_CONVOLUTION",
    "FEED_FORWARD",
    "SWITCH_FEED_FORWARD",
    "SYNTHESIZER_ATTENTION",
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
