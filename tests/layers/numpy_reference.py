"""The formulas of the paper in plain NumPy, with loops where they are clearest.

They follow the paper and T5's definitions, and share no code with the layers.
"""

import math

import numpy as np


def squared_relu(x):
    return np.where(x > 0, x * x, 0.0)


ACTIVATIONS = {
    "squared_relu": squared_relu,
    "relu": lambda x: np.maximum(x, 0.0),
    "swish": lambda x: x / (1.0 + np.exp(-x)),
    "gelu_tanh": lambda x: (
        0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))
    ),
}


def causal_depthwise_conv(x, taps, segment_ids=None, padding_mask=None):
    y = np.zeros_like(x)
    batch, length, _ = x.shape
    if padding_mask is not None:
        x = np.where(np.asarray(padding_mask, bool)[..., None], x, 0)
    for b in range(batch):
        for t in range(length):
            for shift, tap in enumerate(taps):
                s = t - shift
                if s < 0 or (segment_ids is not None and segment_ids[b, s] != segment_ids[b, t]):
                    continue
                y[b, t] += tap * x[b, s]
    return y


def causal_separable_conv(x, weights, segment_ids=None, padding_mask=None):
    y = causal_depthwise_conv(x, weights["taps"], segment_ids, padding_mask)
    y = y + weights["depthwise_bias"]
    return y @ weights["pointwise"] + weights["pointwise_bias"]


def evolved_convolution(x, weights, padding_mask=None, segment_ids=None):
    """Mesh TensorFlow's `DecoderConvolutionalLayer`; `weights`: `left`, `right`, `output`, `norm`.

    The start token has the id of padding, so both are masked before each convolution.
    """
    batch, length, channels = x.shape
    seen = np.ones((batch, length, 1), x.dtype)
    for b in range(batch):
        for t in range(length):
            masked = padding_mask is not None and not padding_mask[b, t]
            first = t == 0
            first |= t > 0 and padding_mask is not None and not padding_mask[b, t - 1]
            first |= (
                t > 0 and segment_ids is not None and segment_ids[b, t - 1] != segment_ids[b, t]
            )
            if masked or first:
                seen[b, t] = 0
    left = np.maximum(causal_separable_conv(x * seen, weights["left"], segment_ids), 0)
    right = causal_separable_conv(x * seen, weights["right"], segment_ids)
    hidden = left
    hidden[..., : channels // 2] += right
    hidden = layer_norm(hidden, *weights["norm"])
    return causal_separable_conv(hidden * seen, weights["output"], segment_ids)


def primer_norm(x, scale, bias, epsilon=1e-6):
    mean = x.mean(-1, keepdims=True)
    pseudo_variance = (x * (x - mean)).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(pseudo_variance + epsilon) * scale + bias


def layer_norm(x, scale, bias, epsilon=1e-6):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * scale + bias


def rms_norm(x, scale, epsilon=1e-6):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * scale


def relative_position_bucket(distance, num_buckets=32, max_distance=128):
    """Returns the bucket of `query position - key position` in a decoder."""
    distance = max(distance, 0)
    exact = num_buckets // 2
    if distance < exact:
        return distance
    fraction = math.log(distance / exact) / math.log(max_distance / exact)
    return min(exact + int(fraction * (num_buckets - exact)), num_buckets - 1)


def relative_position_bias(table, query_length, key_length, offset=0, max_distance=128):
    heads, num_buckets = table.shape
    bias = np.zeros((heads, query_length, key_length), table.dtype)
    for t in range(query_length):
        for s in range(key_length):
            bucket = relative_position_bucket(t + offset - s, num_buckets, max_distance)
            bias[:, t, s] = table[:, bucket]
    return bias


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(x, weights, num_heads, bias=None, padding_mask=None, segment_ids=None):
    """`weights`: `query`/`key`/`value` or `query_key`/`query`/`value`, `attention_output`, and
    optionally lists of taps `<name>_conv`, and `synthetic_scores`."""
    if padding_mask is not None:
        x = x * padding_mask[..., None]

    def project(name):
        y = x @ weights[name]
        taps = weights.get(f"{name}_conv")
        return y if taps is None else causal_depthwise_conv(y, taps, segment_ids)

    if "query_key" in weights:
        k = project("query_key")
        q = k @ weights["query"]
    else:
        q, k = project("query"), project("key")
    v = project("value")
    batch, length, inner = q.shape
    size = inner // num_heads
    out = np.zeros_like(q)
    for b in range(batch):
        for h in range(num_heads):
            channels = slice(h * size, (h + 1) * size)
            scores = q[b, :, channels] @ k[b, :, channels].T
            if bias is not None:
                scores = scores + bias[h]
            for t in range(length):
                for s in range(length):
                    if "synthetic_scores" in weights:
                        scores[t, s] += weights["synthetic_scores"][t, h, s]
                    hidden = s > t
                    hidden |= padding_mask is not None and not padding_mask[b, s]
                    hidden |= segment_ids is not None and segment_ids[b, s] != segment_ids[b, t]
                    if hidden:
                        scores[t, s] = -1e9
            out[b, :, channels] = softmax(scores) @ v[b, :, channels]
    return out @ weights["attention_output"]


def token_shift(x, padding_mask=None, segment_ids=None):
    """The first half of the channels comes from the position before, if it is real and of the same
    segment."""
    y = x.copy()
    half = x.shape[-1] // 2
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            known = t > 0
            known = known and (padding_mask is None or padding_mask[b, t - 1])
            known = known and (segment_ids is None or segment_ids[b, t - 1] == segment_ids[b, t])
            y[b, t, :half] = x[b, t - 1, :half] if known else 0
    return y


def feed_forward(x, weights, activation):
    hidden = ACTIVATIONS[activation](x @ weights["intermediate"] + weights["intermediate_bias"])
    if "linear" in weights:
        hidden = hidden * (x @ weights["linear"] + weights["linear_bias"])
    return hidden @ weights["output"] + weights["output_bias"]


def switch_feed_forward(x, weights, activation, capacity_factor, group_size, padding_mask=None):
    """Returns the output, the load-balancing loss and the router's z-loss, both without factors.

    It processes one token after the other; an expert at its capacity drops further tokens.
    """
    batch, length, channels = x.shape
    count = batch * length
    groups = max(1, count // group_size)
    while count % groups:
        groups += 1
    size = count // groups
    num_experts = weights["router"].shape[1]
    capacity = max(min(size, int(size * capacity_factor / num_experts)), 4)
    tokens = x.reshape(count, channels)
    real = np.ones(count) if padding_mask is None else np.asarray(padding_mask, float).reshape(-1)
    logits = tokens @ weights["router"]
    probabilities = softmax(logits)
    y = np.zeros_like(tokens)
    balance = 0.0
    for group in range(groups):
        members = range(group * size, (group + 1) * size)
        load = np.zeros(num_experts, int)
        share = np.zeros(num_experts)
        for t in members:
            e = logits[t].argmax()
            share[e] += 1 / size
            if not real[t]:
                continue
            load[e] += 1
            if load[e] > capacity:
                continue
            hidden = ACTIVATIONS[activation](tokens[t] @ weights["intermediate"][e])
            if "linear" in weights:
                hidden = hidden * (tokens[t] @ weights["linear"][e])
            y[t] = probabilities[t, e] * (hidden @ weights["output"][e])
        members = list(members)
        probability = probabilities[members].mean(0)
        balance += num_experts * (share * probability).sum() * real[members].mean() / groups
    log_z = np.log(np.exp(logits).sum(-1))
    return y.reshape(x.shape), balance, (log_z**2 * real).sum() / real.sum()
