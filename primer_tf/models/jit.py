"""Whether to compile the training step with XLA."""

import keras


def jit_compile_by_default() -> bool:
    """Returns what `compile` means by `jit_compile="auto"`.

    It is true on JAX, and on TensorFlow with an accelerator. On CPUs TensorFlow's matrix products
    are as fast without XLA, the first step comes sooner, and it takes less memory. Keras' own
    "auto" never compiles a model with an embedding on TensorFlow. `torch.compile` is left to the
    user.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(
            tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU")
        )
    return keras.backend.backend() == "jax"
