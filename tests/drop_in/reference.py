"""Attention of Keras' weights with convolutions, in plain NumPy."""

import numpy as np
from keras import ops

from tests.layers.numpy_reference import causal_depthwise_conv, softmax


def project(layer, role, dense, x, mask=None):
    """`[B, T, H, D]`: one projection and its convolution over `[B, T, H * D]`."""
    kernel = ops.convert_to_numpy(dense.kernel)  # [channels, H, D]
    y = np.einsum("btc,chd->bthd", x, kernel)
    if dense.bias is not None:
        y = y + ops.convert_to_numpy(dense.bias)
    taps = [ops.convert_to_numpy(tap) for tap in layer.convolutions()[role].taps]
    flat = causal_depthwise_conv(y.reshape(*y.shape[:2], -1), taps, padding_mask=mask)
    return flat.reshape(y.shape)


def attention(layer, query, value, key=None, masks=None, allowed=None):
    """Returns what an attention layer computes.

    Args:
        layer: A `MultiHeadAttention` or `GroupQueryAttention` of `primer_tf.drop_in`.
        query, value, key: `[B, T, C]`, `[B, S, C]` and `[B, S, C]`.
        masks: `[B, T]` or `[B, S]` by role, false at padding.
        allowed: `[T, S]` or `[B, T, S]`, which positions attend to which.
    """
    masks, key = masks or {}, value if key is None else key
    q = project(layer, "query", layer._query_dense, query, masks.get("query"))
    k = project(layer, "key", layer._key_dense, key, masks.get("key"))
    v = project(layer, "value", layer._value_dense, value, masks.get("value"))
    groups = q.shape[2] // k.shape[2]
    k, v = np.repeat(k, groups, axis=2), np.repeat(v, groups, axis=2)
    scores = np.einsum("bthd,bshd->bhts", q, k) / np.sqrt(q.shape[-1])
    seen = np.ones((q.shape[0], q.shape[1], k.shape[1]), bool)
    if allowed is not None:
        seen &= allowed
    for role in ("key", "value"):
        if role in masks:
            seen &= masks[role][:, None, :]
    scores = np.where(seen[:, None], scores, -1e9)
    y = np.einsum("bhts,bshd->bthd", softmax(scores), v)
    kernel = ops.convert_to_numpy(layer._output_dense.kernel)  # [H, D, channels]
    return np.einsum("bthd,hdc->btc", y, kernel) + ops.convert_to_numpy(layer._output_dense.bias)
