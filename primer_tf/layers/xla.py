"""Whether XLA compiles the code that is being traced.

Some formulas have a form that is fast only with XLA.
"""

import keras

from primer_tf._compat import in_xla_context


def compiled_by_xla() -> bool:
    """Returns true on JAX, and on TensorFlow inside a function with `jit_compile=True`."""
    if keras.backend.backend() == "tensorflow":
        return in_xla_context()
    return keras.backend.backend() == "jax"


def in_xla_graph() -> bool:
    """Returns true in a function of TensorFlow that XLA compiles."""
    return keras.backend.backend() == "tensorflow" and in_xla_context()


def in_plain_graph() -> bool:
    """Returns true in a function of TensorFlow that XLA does not compile."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.executing_eagerly() and not in_xla_context()
