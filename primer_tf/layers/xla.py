"""Whether XLA compiles what is being traced: some formulas have a form that only XLA makes fast."""

import keras


def compiled_by_xla():
    """Returns true on JAX, and on TensorFlow inside a function with `jit_compile=True`."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf
        from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

        return GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
    return keras.backend.backend() == "jax"
