"""Questions about TensorFlow that need no TensorFlow, which JAX and PyTorch do without."""

import sys
from importlib.util import find_spec
from typing import Any


def has_tensorflow() -> bool:
    """Returns whether TensorFlow is installed; the other backends do without."""
    return find_spec("tensorflow") is not None


def is_tensorflow_tensor(x: Any) -> bool:
    """Returns whether a value is a tensor of TensorFlow; there is none before the import."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and tf.is_tensor(x)


def in_tensorflow_graph() -> bool:
    """Returns whether TensorFlow is tracing a function, such as a step of a `tf.data` pipeline."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and not tf.executing_eagerly()
