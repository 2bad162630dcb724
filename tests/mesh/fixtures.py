"""Small Mesh TensorFlow models for tests, with random values in every variable."""

import mesh_tensorflow as mtf
import numpy as np
import tensorflow.compat.v1 as tf

from primer_tf.mesh import graphs

TINY = ("d_model = 16", "num_heads = 2", "d_kv = 8", "d_ff = 32", "num_layers = 2")
VOCABULARY = 128


class RandomModel:
    """A Mesh TensorFlow graph, its model, and a session with random weights."""

    def __init__(self, name, bindings=TINY):
        graphs.parse(name if "." in str(name) else f"models/{name}.gin", bindings=bindings)
        self.graph = mtf.Graph()
        self.mesh = mtf.Mesh(self.graph, "mesh")
        self.model = graphs.build_model(VOCABULARY)

    def ids(self, values):
        """Imports a `[batch, length]` array of ids."""
        values = np.asarray(values, "int32")
        batch, length = values.shape
        return mtf.import_fully_replicated(
            self.mesh,
            tf.constant(values),
            mtf.Shape([mtf.Dimension("batch", batch), mtf.Dimension("length", length)]),
        )

    def run(self, *tensors, seed=0):
        """Returns the values of tensors, with weights that depend on the names and the seed."""
        mesh_impl = mtf.placement_mesh_impl.PlacementMeshImpl(mtf.Shape([]), [], [""])
        anonymous = [mtf.anonymize(tensor) for tensor in tensors]
        lowering = mtf.Lowering(self.graph, {self.mesh: mesh_impl})
        fetches = [lowering.export_to_tf_tensor(tensor) for tensor in anonymous]
        draw = np.random.default_rng(seed)
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for variable in sorted(tf.global_variables(), key=lambda v: v.name):
                shape = variable.shape.as_list()
                variable.load(draw.normal(0, 0.4, shape).astype("float32"), session)
            session.run(lowering.copy_masters_to_slices())
            return session.run(fetches)


def full_logits(random_model, ids):
    """Returns the logits `[batch, length, vocab]` of a full forward pass."""
    from mesh_tensorflow.transformer import transformer

    logits, _ = random_model.model.call_simple(
        transformer.autoregressive_inputs(ids), ids, compute_loss=False, mode="eval"
    )
    return logits
