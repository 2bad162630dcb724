"""Elementwise activations of Keras that Mesh TensorFlow lacks, for use in gin files.

For example `DenseReluDense.activation = [@activations.mish]`.
"""

from collections.abc import Callable

import gin
import mesh_tensorflow as mtf
import tensorflow.compat.v1 as tf

ELEMENTWISE = {
    "gelu": lambda x: 0.5 * x * (1.0 + tf.math.erf(x / 2.0**0.5)),
    "hard_shrink": lambda x: tf.where(tf.abs(x) > 0.5, x, tf.zeros_like(x)),
    "hard_sigmoid": lambda x: tf.nn.relu6(x + 3.0) / 6.0,
    "hard_silu": lambda x: x * tf.nn.relu6(x + 3.0) / 6.0,
    "hard_tanh": lambda x: tf.clip_by_value(x, -1.0, 1.0),
    "leaky_relu": lambda x: tf.nn.leaky_relu(x, alpha=0.2),
    "log_sigmoid": tf.math.log_sigmoid,
    "mish": lambda x: x * tf.tanh(tf.nn.softplus(x)),
    "relu6": tf.nn.relu6,
    "soft_shrink": lambda x: tf.sign(x) * tf.nn.relu(tf.abs(x) - 0.5),
    "softsign": tf.nn.softsign,
    "sparse_plus": lambda x: tf.where(x >= 1.0, x, tf.square(tf.nn.relu(x + 1.0)) / 4.0),
    "sparse_sigmoid": lambda x: tf.clip_by_value((x + 1.0) / 2.0, 0.0, 1.0),
    "squareplus": lambda x: (x + tf.sqrt(tf.square(x) + 4.0)) / 2.0,
    "tanh_shrink": lambda x: x - tf.tanh(x),
}


def _register(name: str, function: Callable[[tf.Tensor], tf.Tensor]) -> None:
    def activation(x):
        return mtf.cwise(function, [x], name=name)

    activation.__doc__ = f"Applies Keras' `{name}` to each value of a Tensor."
    gin.external_configurable(activation, name=name, module="primer_tf.mesh.activations")


for _name, _function in ELEMENTWISE.items():
    _register(_name, _function)
