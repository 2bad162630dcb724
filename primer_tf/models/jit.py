"""Whether to compile the training step with XLA."""

import keras


def jit_compile_by_default():
    """Returns what `compile` means by `jit_compile="auto"`.

    Keras' own "auto" never compiles a model with an embedding on TensorFlow. XLA pays on
    accelerators; on CPUs TensorFlow's own matrix products are as fast, its first step comes sooner
    and takes less memory. torch.compile is left to the user.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(
            tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU")
        )
    return keras.backend.backend() == "jax"
