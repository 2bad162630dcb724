"""SavedModels whose answers can be computed by hand."""

import tensorflow as tf

FLOATS = tf.TensorSpec([None], tf.float32)
OFFSET = tf.constant([0.5])


class Toy(tf.Module):
    """`y = factor * x + offset`, and a few signatures of other types."""

    def __init__(self, factor):
        super().__init__()
        self.factor = tf.Variable(float(factor))
        self.version = tf.Variable(factor)

    @tf.function(input_signature=[FLOATS])
    def scale(self, x):
        return {"y": self.factor * x}

    @tf.function(input_signature=[FLOATS, FLOATS])
    def line(self, x, offset=OFFSET):
        return {"y": self.factor * x + offset, "x": tf.identity(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def text(self, s):
        return {"upper": tf.strings.upper(s), "same_bytes": tf.identity(s)}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.int32)])
    def total(self, ids):
        tf.debugging.assert_non_negative(ids, "ids[:, :] must not be negative")
        return {"total": tf.reduce_sum(ids, axis=1)}

    @tf.function(input_signature=[FLOATS, tf.TensorSpec([None], tf.string)])
    def numbered(self, x, s):
        version = tf.fill(tf.shape(x), self.version)
        return {"y": self.factor * x, "version": version, "same_bytes": tf.identity(s)}


def save_toy(folder, factor):
    """Writes version `folder` of a model that multiplies by `factor`."""
    toy = Toy(factor)
    signatures = {
        "serving_default": toy.scale,
        "line": toy.line,
        "text": toy.text,
        "total": toy.total,
        "numbered": toy.numbered,
    }
    tf.saved_model.save(toy, str(folder), signatures=signatures)
