"""Keras layers of Primer and of the Transformers it is compared with.

Every layer stands alone: it uses `keras.ops` only, so it runs on the TensorFlow, JAX and PyTorch
backends and fits into any Keras model.
"""

from primer_tf.layers.activations import gelu_tanh, squared_relu
from primer_tf.layers.causal_depthwise_conv_1d import CausalDepthwiseConv1D
from primer_tf.layers.causal_self_attention import CausalSelfAttention
from primer_tf.layers.causal_separable_conv_1d import CausalSeparableConv1D
from primer_tf.layers.decoder_block import DecoderBlock
from primer_tf.layers.decoder_context import DecoderContext
from primer_tf.layers.decoder_layer import DecoderLayer, PositionMixingLayer
from primer_tf.layers.decoder_stack import DecoderStack
from primer_tf.layers.evolved_convolution import EvolvedConvolution
from primer_tf.layers.feed_forward import FeedForward
from primer_tf.layers.multi_dconv_head_attention import MultiDConvHeadAttention
from primer_tf.layers.primer_normalization import PrimerNormalization
from primer_tf.layers.residual_sublayer import ResidualSublayer
from primer_tf.layers.switch_feed_forward import SwitchFeedForward
from primer_tf.layers.synthesizer_attention import SynthesizerAttention
from primer_tf.layers.t5_relative_position_bias import T5RelativePositionBias
from primer_tf.layers.token_shift_attention import TokenShiftAttention

__all__ = [
    "CausalDepthwiseConv1D",
    "CausalSeparableConv1D",
    "CausalSelfAttention",
    "DecoderBlock",
    "DecoderContext",
    "DecoderLayer",
    "DecoderStack",
    "EvolvedConvolution",
    "FeedForward",
    "MultiDConvHeadAttention",
    "PositionMixingLayer",
    "PrimerNormalization",
    "ResidualSublayer",
    "SwitchFeedForward",
    "SynthesizerAttention",
    "T5RelativePositionBias",
    "TokenShiftAttention",
    "gelu_tanh",
    "squared_relu",
]
