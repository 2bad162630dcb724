"""Whether to compile the training step."""

import keras

# Keras' "auto" never compiles a model with an embedding on TensorFlow; XLA takes a Primer's step in
# half the time there. torch.compile is left to the user.
JIT_COMPILE = keras.backend.backend() != "torch"
