"""Search for the strings that end a completion."""

import tensorflow as tf

from primer_tf.types import Tensor


def find_first(texts: Tensor, stops: Tensor) -> tuple[Tensor, Tensor]:
    """Finds in each text the stop string that is complete first.

    Args:
        texts: `[B]` strings.
        stops: `[B, K]` strings. Empty ones stand for none.

    Returns:
        `(found, start)`, both `[B]`: whether the text has a stop string, and the number of bytes
        before it.
    """
    longest = tf.reduce_max(tf.strings.length(texts))
    shape = tf.concat([tf.shape(stops), [longest + 1]], axis=0)
    starts = tf.broadcast_to(tf.range(longest + 1), shape)
    ends = starts + tf.strings.length(stops)[:, :, None]
    fits = (ends <= tf.strings.length(texts)[:, None, None]) & (ends > starts)
    candidates = tf.boolean_mask(tf.broadcast_to(texts[:, None, None], shape), fits)
    parts = tf.strings.substr(
        candidates, tf.boolean_mask(starts, fits), tf.boolean_mask(ends - starts, fits)
    )
    equal = parts == tf.boolean_mask(tf.broadcast_to(stops[:, :, None], shape), fits)
    here = tf.scatter_nd(tf.where(fits), tf.cast(equal, tf.int32), tf.cast(shape, tf.int64)) > 0
    # The earliest end, and among equal ends the earliest start.
    nowhere = longest + 1
    end = tf.reduce_min(tf.where(here, ends, nowhere), axis=[1, 2])
    is_first = here & (ends == end[:, None, None])
    start = tf.reduce_min(tf.where(is_first, starts, nowhere), axis=[1, 2])
    return end < nowhere, start
