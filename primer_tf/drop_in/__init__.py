"""Primer-EZ's two changes for models and layers of Keras and KerasHub.

`primer_ez` and `add_convolutions` take a KerasHub model and return one of a class in
`primer_tf.drop_in.causal_lms` or `primer_tf.drop_in.backbones`; importing this package registers
these classes with Keras. The layers take the place of Keras' and KerasHub's layers of the same
names.
"""

from primer_tf.drop_in.cached_attention import CachedMultiHeadAttention
from primer_tf.drop_in.convert import add_convolutions, primer_ez
from primer_tf.drop_in.decoders import TransformerDecoder
from primer_tf.drop_in.multi_head_attention import GroupQueryAttention, MultiHeadAttention

__all__ = [
    "CachedMultiHeadAttention",
    "GroupQueryAttention",
    "MultiHeadAttention",
    "TransformerDecoder",
    "add_convolutions",
    "primer_ez",
]
