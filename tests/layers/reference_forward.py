"""The NumPy reference of a whole layer, with weights read from the layer."""

import numpy as np
from layers import numpy_reference as reference
from layers.helpers import numpy

from primer_tf import layers

NORMS = {
    "layer": reference.layer_norm,
    "rms": reference.rms_norm,
    "primer": reference.primer_norm,
}


def forward(layer, x, read=numpy):
    """Returns what `layer` should return for `x`; `read` gives the value of a variable."""
    if isinstance(layer, layers.CausalDepthwiseConv1D):
        return reference.causal_depthwise_conv(x, [read(tap) for tap in layer.taps])
    if isinstance(layer, layers.PrimerNormalization):
        return reference.primer_norm(x, read(layer.scale), read(layer.bias))
    if isinstance(layer, layers.MultiDConvHeadAttention):
        return attention(layer, x, read)
    if isinstance(layer, layers.FeedForward):
        return feed_forward(layer, x, read)
    return stack(layer, x, read)


def attention(layer, x, read=numpy, **kwargs):
    weights = {name: read(dense.kernel) for name, dense in layer.projections.items()}
    if layer.shared_query_key:
        weights["query"] = read(layer.query_dense.kernel)
    for name, conv in layer.convolutions.items():
        weights[f"{name}_conv"] = [read(tap) for tap in conv.taps]
    weights["attention_output"] = read(layer.output_dense.kernel)
    return reference.attention(x, weights, layer.num_heads, **kwargs)


def feed_forward(layer, x, read=numpy):
    denses = {"intermediate": layer.intermediate_dense, "output": layer.output_dense}
    if layer.gated:
        denses["linear"] = layer.linear_dense
    weights = {name: read(dense.kernel) for name, dense in denses.items()}
    weights |= {f"{name}_bias": read(dense.bias) for name, dense in denses.items()}
    return reference.feed_forward(x, weights, layer.activation.__name__.replace("silu", "swish"))


def stack(layer, x, read=numpy):
    """Attention and feed-forward in turn, as `DecoderStack` is tested with."""
    (bias_layer,) = layer.position_bias_layers
    length = x.shape[1]
    bias = reference.relative_position_bias(read(bias_layer.embeddings), length, length)

    def normalize(norm, y):
        return NORMS[layer.normalization](y, *(read(w) for w in norm.weights))

    y = np.asarray(x)
    for block in layer.blocks:
        for index, sublayer in enumerate(block.sublayers):
            pre = layer.placement == "pre" or (layer.placement == "alternating" and index == 0)
            z = normalize(sublayer.norm, y) if pre else y
            if index == 0:
                z = attention(sublayer.layer, z, read, bias=bias)
            else:
                z = feed_forward(sublayer.layer, z, read)
            y = y + (z if pre else normalize(sublayer.norm, z))
    return normalize(layer.norm, y)
