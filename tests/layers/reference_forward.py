"""The NumPy reference of a whole layer, with the layer's weights."""

import keras

from primer_tf import layers
from tests.layers import numpy_reference as reference
from tests.layers.helpers import numpy

NORMS = {
    keras.layers.LayerNormalization: reference.layer_norm,
    keras.layers.RMSNormalization: reference.rms_norm,
    layers.PrimerNormalization: reference.primer_norm,
}


def forward(layer, x, read=numpy, **masks):
    """Returns the expected output of `layer` for `x`.

    `read` returns the value of a variable, and `masks` are arguments of the call.
    """
    if isinstance(layer, layers.CausalDepthwiseConv1D):
        return reference.causal_depthwise_conv(x, [read(tap) for tap in layer.taps], **masks)
    if isinstance(layer, tuple(NORMS)):
        norm = next(norm for cls, norm in NORMS.items() if isinstance(layer, cls))
        return norm(x, *(read(weight) for weight in layer.weights))
    if isinstance(layer, layers.CausalSelfAttention):
        return attention(layer, x, read, **masks)
    if isinstance(layer, layers.EvolvedConvolution):
        return evolved_convolution(layer, x, read, **masks)
    if isinstance(layer, layers.CausalSeparableConv1D):
        return reference.causal_separable_conv(x, separable_weights(layer, read), **masks)
    if isinstance(layer, layers.SwitchFeedForward):
        return switch_feed_forward(layer, x, read, **masks)[0]
    if isinstance(layer, layers.FeedForward):
        return feed_forward(layer, x, read)
    if isinstance(layer, layers.ResidualSublayer):
        return residual_sublayer(layer, x, read, **masks)
    if isinstance(layer, layers.DecoderBlock):
        for sublayer in layer.sublayers:
            x = residual_sublayer(sublayer, x, read, **masks)
        return x
    return stack(layer, x, read, **masks)


def attention(layer, x, read=numpy, **kwargs):
    weights = {name: read(dense.kernel) for name, dense in layer.projections.items()}
    if layer.shared_query_key:
        weights["query"] = read(layer.query_dense.kernel)
    if isinstance(layer, layers.MultiDConvHeadAttention):
        for name, conv in layer.convolutions.items():
            weights[f"{name}_conv"] = [read(tap) for tap in conv.taps]
    if isinstance(layer, layers.TokenShiftAttention):
        x = reference.token_shift(x, kwargs.get("padding_mask"), kwargs.get("segment_ids"))
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


def residual_sublayer(sublayer, x, read=numpy, biases=None, **masks):
    pre = sublayer.placement == "pre"
    y = forward(sublayer.norm, x, read) if pre else x
    if isinstance(sublayer.layer, layers.CausalSelfAttention):
        bias = (biases or {}).get(sublayer.layer.num_heads)
        y = attention(sublayer.layer, y, read, bias=bias, **masks)
    else:
        y = forward(sublayer.layer, y, read, **masks)
    return x + (y if pre else forward(sublayer.norm, y, read))


def stack(layer, x, read=numpy, **masks):
    length = x.shape[1]
    biases = {
        table.num_heads: reference.relative_position_bias(read(table.embeddings), length, length)
        for table in layer.position_bias_layers
    }
    sublayers = [sublayer for block in layer.blocks for sublayer in block.sublayers]
    for index, sublayer in enumerate(sublayers):
        pre = layer.placement == "pre" or (layer.placement == "alternating" and index % 2 == 0)
        assert sublayer.placement == ("pre" if pre else "post")
        x = residual_sublayer(sublayer, x, read, biases, **masks)
    return forward(layer.norm, x, read)
