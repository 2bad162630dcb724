"""What `primer serve` is made of: a server for SavedModels.

It answers as TensorFlow Serving does, over REST and gRPC. It imports TensorFlow, but neither Keras
nor the models: everything it knows of a model is in the SavedModel's folder.
"""

from primer_tf.serving.config import ModelConfig, ServerConfig
from primer_tf.serving.server import Server

__all__ = ["ModelConfig", "Server", "ServerConfig"]
