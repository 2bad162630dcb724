"""Mesh TensorFlow layers of Primer and of the models it is compared with, for use in gin files.

In gin, the paper's layers are `t5_models.<name>`, so bindings written for the code that accompanied
the paper work unchanged. Parts that only our Keras models have are `primer_tf.mesh.<name>`.
"""

from primer_tf.mesh import runtime

runtime.install()

from primer_tf.mesh.layers import activations, position_buckets  # noqa: E402, F401
from primer_tf.mesh.layers.attention import MDHA  # noqa: E402
from primer_tf.mesh.layers.convolution import causal_depthwise_conv  # noqa: E402
from primer_tf.mesh.layers.double_heads import DoubleHeadsAttentionLayer  # noqa: E402
from primer_tf.mesh.layers.normalization import sublayer_prime_norm  # noqa: E402
from primer_tf.mesh.layers.stack import PrePostNormLayerStack  # noqa: E402
from primer_tf.mesh.layers.synthesizer import RandomSynthesizer  # noqa: E402

__all__ = [
    "MDHA",
    "DoubleHeadsAttentionLayer",
    "PrePostNormLayerStack",
    "RandomSynthesizer",
    "causal_depthwise_conv",
    "sublayer_prime_norm",
]
