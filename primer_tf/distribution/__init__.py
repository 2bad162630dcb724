"""Training on several devices, with Keras' own distribution on JAX."""

from primer_tf.distribution.mesh_shape import MeshShape, parse_mesh

__all__ = ["MeshShape", "parse_mesh"]
