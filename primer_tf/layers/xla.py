"""Whether XLA compiles what is being traced: some formulas have a form that only XLA makes fast."""

import keras

from primer_tf._compat import in_xla_context


def compiled_by_xla():
    """Returns true on JAX, and on TensorFlow inside a function with `jit_compile=True`."""
    if keras.backend.backend() == "tensorflow":
        return in_xla_context()
    return keras.backend.backend() == "jax"
