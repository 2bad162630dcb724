"""Output, losses and gradients of a single Mesh TensorFlow layer.

Runs in the TensorFlow 1 process (see `mesh.tf1`) and returns NumPy arrays.
"""

import mesh_tensorflow as mtf
import numpy as np
import tensorflow.compat.v1 as tf
from mesh_tensorflow.transformer import transformer

from primer_tf.mesh import graphs


def run(gin_file, bindings, index, x, real, coefficients, train):
    """Runs a layer of the model that a gin file describes, with random values in every variable.

    Args:
      gin_file: The file's name, as in `"models/tiny_primer.gin"`.
      bindings: A list of gin bindings.
      index: The index of the layer in its block.
      x: An array `[batch, length, d_model]`.
      real: An int array `[batch, length]`, 1 at real tokens.
      coefficients: An array of the shape of `x`. The gradients are those of
        `sum(coefficients * output)` plus the layer's losses.
      train: Whether the layer runs in training mode.

    Returns:
      A dictionary of "output", "loss", "weights" and "gradients". The last two are dictionaries
      from the name of a variable to an array; the gradients also have an entry "x".
    """
    graphs.parse(gin_file, bindings=bindings)
    with tf.Graph().as_default():
        graph = mtf.Graph()
        mesh = mtf.Mesh(graph, "mesh")
        model = graphs.build_model(128)
        layer = model.layer_stack.layers[index]
        batch, length = (mtf.Dimension(*d) for d in zip(("batch", "length"), x.shape, strict=False))

        def imported(array, *dims):
            return mtf.import_fully_replicated(mesh, tf.constant(array), mtf.Shape(dims))

        sequence_id = imported(real.astype("int32"), batch, length)
        inputs = imported(x, batch, length, model.model_dim)
        positions = mtf.range(mesh, length, tf.int32)
        context = transformer.Context(
            model=model,
            mesh=mesh,
            batch_dims=[batch],
            length_dim=length,
            variable_dtype=mtf.VariableDType(tf.float32),
            mode=tf.estimator.ModeKeys.TRAIN if train else tf.estimator.ModeKeys.EVAL,
            losses=[],
            sequence_id=sequence_id,
            position=positions,
            position_is_default=True,
            write_priority=positions,
            read_priority=positions,
            # The start token has the id of padding.
            inputs=transformer.autoregressive_inputs(sequence_id) * sequence_id,
            num_microbatches=1,
        )
        with tf.variable_scope(f"transformer/{layer.name}/{type(layer).__name__}"):
            output = layer.call(context, inputs)
        loss = mtf.add_n([mtf.zeros(mesh, [], tf.float32), *context.losses])
        weighted = output * imported(coefficients, batch, length, model.model_dim)
        variables = graph.trainable_variables
        sources = [v.outputs[0] for v in variables] + [inputs]
        gradients = mtf.gradients([mtf.reduce_sum(weighted) + loss], sources)
        mesh_impl = mtf.placement_mesh_impl.PlacementMeshImpl(mtf.Shape([]), [], [""])
        exported = [mtf.anonymize(t) for t in (output, loss, *gradients)]
        lowering = mtf.Lowering(graph, {mesh: mesh_impl})
        exported = [lowering.export_to_tf_tensor(t) for t in exported]
        rng = np.random.default_rng(0)
        weights = {v.name: rng.normal(0, 0.4, v.shape.to_integer_list) for v in variables}
        weights = {name: value.astype("float32") for name, value in weights.items()}
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for variable in variables:
                variable.get_master().load(weights[variable.name], session)
            session.run(lowering.copy_masters_to_slices())
            output, loss, *gradients = session.run(exported)
    gradients = dict(zip([*weights, "x"], gradients, strict=True))
    return {"output": output, "loss": loss, "weights": weights, "gradients": gradients}
