"""Mesh TensorFlow layers of Primer and the models it is compared with, for gin files to name.

gin knows them as `t5_models.<name>`, so bindings written for the code that accompanied the paper
read the same here.
"""

from primer_tf.mesh import runtime

runtime.install()

from primer_tf.mesh.layers.attention import MDHA  # noqa: E402
from primer_tf.mesh.layers.convolution import causal_depthwise_conv  # noqa: E402
from primer_tf.mesh.layers.double_heads import DoubleHeadsAttentionLayer  # noqa: E402
from primer_tf.mesh.layers.normalization import sublayer_prime_norm  # noqa: E402
from primer_tf.mesh.layers.stack import PrePostNormLayerStack  # noqa: E402

__all__ = [
    "MDHA",
    "DoubleHeadsAttentionLayer",
    "PrePostNormLayerStack",
    "causal_depthwise_conv",
    "sublayer_prime_norm",
]
