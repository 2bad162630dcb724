"""The NumPy reference of a whole layer, with the layer's weights."""

import keras
import numpy as np

from primer_tf import layers
from tests.layers import numpy_reference as reference
from tests.layers.helpers import numpy

NORMS = {
    "layer": reference.layer_norm,
    "rms": reference.rms_norm,
    "primer": reference.primer_norm,
}


def forward(layer, x, read=numpy):
    """Returns the expected output of `layer` for `x`; `read` returns the value of a variable."""
    if isinstance(layer, layers.CausalDepthwiseConv1D):
        return reference.causal_depthwise_conv(x, [read(tap) for tap in layer.taps])
    if isinstance(layer, keras.layers.LayerNormalization):
        return reference.layer_norm(x, read(layer.gamma), read(layer.beta))
    if isinstance(layer, layers.PrimerNormalization):
        return reference.primer_norm(x, read(layer.scale), read(layer.bias))
    if isinstance(layer, layers.CausalSelfAttention):
        return attention(layer, x, read)
    if isinstance(layer, layers.EvolvedConvolution):
        return evolved_convolution(layer, x, read)
    if isinstance(layer, layers.CausalSeparableConv1D):
        return reference.causal_separable_conv(x, separable_weights(layer, read))
    if isinstance(layer, layers.SwitchFeedForward):
        return switch_feed_forward(layer, x, read)[0]
    if isinstance(layer, layers.FeedForward):
        return feed_forward(layer, x, read)
    return stack(layer, x, read)


def attention(layer, x, read=numpy, **kwargs):
    weights = {name: read(dense.kernel) for name, dense in layer.projections.items()}
    if layer.shared_query_key:
        weights["query"] = read(layer.query_dense.kernel)
    if isinstance(layer, layers.MultiDConvHeadAttention):
        for name, conv in layer.convolutions.items():
            weights[f"{name}_conv"] = [read(tap) for tap in conv.taps]
    if isinstance(layer, layers.SynthesizerAttention):
        weights["synthetic_scores"] = read(layer.synthetic_scores)
    weights["attention_output"] = read(layer.output_dense.kernel)
    return reference.attention(x, weights, layer.num_heads, **kwargs)


def separable_weights(conv, read=numpy):
    return {
        "taps": [read(tap) for tap in conv.depthwise.taps],
        "depthwise_bias": read(conv.depthwise_bias),
        "pointwise": read(conv.pointwise.kernel),
        "pointwise_bias": read(conv.pointwise.bias),
    }


def evolved_convolution(layer, x, read=numpy, **kwargs):
    convs = {"left": layer.left_conv, "right": layer.right_conv, "output": layer.output_conv}
    weights = {name: separable_weights(conv, read) for name, conv in convs.items()}
    weights["norm"] = [read(w) for w in layer.norm.weights]
    return reference.evolved_convolution(x, weights, **kwargs)


def feed_forward(layer, x, read=numpy):
    denses = {"intermediate": layer.intermediate_dense, "output": layer.output_dense}
    if layer.gated:
        denses["linear"] = layer.linear_dense
    weights = {name: read(dense.kernel) for name, dense in denses.items()}
    weights |= {f"{name}_bias": read(dense.bias) for name, dense in denses.items()}
    return reference.feed_forward(x, weights, activation_name(layer))


def activation_name(layer):
    return layer.activation.__name__.replace("silu", "swish")


def switch_feed_forward(layer, x, read=numpy, training=False, padding_mask=None):
    weights = {"router": read(layer.router_kernel), "intermediate": read(layer.intermediate_kernel)}
    weights["output"] = read(layer.output_kernel)
    if layer.gated:
        weights["linear"] = read(layer.linear_kernel)
    factor = layer.capacity_factor if training else layer.eval_capacity_factor
    return reference.switch_feed_forward(
        x, weights, activation_name(layer), factor, layer.group_size, padding_mask
    )


def stack(layer, x, read=numpy):
    length = x.shape[1]
    biases = {
        table.num_heads: reference.relative_position_bias(read(table.embeddings), length, length)
        for table in layer.position_bias_layers
    }

    def normalize(norm, y):
        return NORMS[layer.normalization](y, *(read(w) for w in norm.weights))

    y = np.asarray(x)
    sublayers = [sublayer for block in layer.blocks for sublayer in block.sublayers]
    for index, sublayer in enumerate(sublayers):
        pre = layer.placement == "pre" or (layer.placement == "alternating" and index % 2 == 0)
        z = normalize(sublayer.norm, y) if pre else y
        if isinstance(sublayer.layer, layers.CausalSelfAttention):
            z = attention(sublayer.layer, z, read, bias=biases[sublayer.layer.num_heads])
        else:
            z = forward(sublayer.layer, z, read)
        y = y + (z if pre else normalize(sublayer.norm, z))
    return normalize(layer.norm, y)
