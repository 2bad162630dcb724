"""Weights, logits, gradients, training and text of a gin file in Mesh TensorFlow.

Runs in the TensorFlow 1 process (see `mesh.tf1`) and returns NumPy arrays.
"""

import contextlib
import functools
from unittest import mock

import mesh_tensorflow as mtf
import numpy as np
import tensorflow.compat.v1 as tf
from mesh_tensorflow.transformer import attention, transformer

from primer_tf.mesh import graphs

WARMUP_STEPS = 10_000


def reference(gin_file, bindings, batches, prompts=None, dtype="float32", seed=0):
    """Builds and runs the model that a gin file describes.

    Args:
      gin_file: The file's name, as in `"models/small_primer.gin"`.
      bindings: A list of gin bindings.
      batches: An int array `[1 + steps, batch, length]`. The model trains on all but the first.
      prompts: Optionally an int array `[batch, length]` of prompts to continue, padded with zeros.
      dtype: The dtype of all weights and of all arithmetic.
      seed: The seed of the weights.

    Returns:
      A dictionary of "weights"; of "logits", "loss" and "gradients" of the first batch; of
      "losses", "trained" and "slots" from training; and of "continuation". "weights", "gradients",
      "trained" and "slots" map names to arrays.
    """
    graphs.parse(gin_file, bindings=bindings)
    with (
        tf.Graph().as_default(),
        tf.variable_scope("", use_resource=True),
        _all_arithmetic_in(tf.as_dtype(dtype)),
    ):
        step = tf.train.create_global_step()
        model = _MeshModel(tf.as_dtype(dtype))
        targets = tf.placeholder(tf.int32, batches.shape[1:])
        logits, loss = model.call(targets)
        variables = model.graph.trainable_variables
        names = [v.name for v in variables]
        gradients = mtf.gradients([loss], [v.outputs[0] for v in variables])
        rate = tf.math.rsqrt(tf.maximum(tf.cast(step, tf.float32), float(WARMUP_STEPS)))
        # As `mtf.optimize.adafactor_decay_rate_pow` defines it, but not always in float32.
        decay = 1.0 - tf.pow(tf.cast(step + 1, dtype), -0.8)
        updates = mtf.optimize.AdafactorOptimizer(
            learning_rate=tf.cast(rate, dtype), decay_rate=decay
        ).apply_grads(gradients, variables)
        continuation = [] if prompts is None else [model.continuation(prompts)]
        lowering = model.lowering()
        once = [lowering.export_to_tf_tensor(t) for t in (logits, loss, *gradients)]
        continuation = [lowering.export_to_tf_tensor(t) for t in continuation]
        train = tf.group([lowering.lowered_operation(op) for op in updates])
        advance = tf.assign_add(step, 1)
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            draw_weights(session, variables, seed)
            session.run(lowering.copy_masters_to_slices())
            result = {"weights": masters(session, variables), "losses": []}
            result["logits"], result["loss"], *values = session.run(once, {targets: batches[0]})
            result["gradients"] = dict(zip(names, values, strict=True))
            for text in session.run(continuation):
                result["continuation"] = text
            for batch in batches[1:]:
                _, value = session.run([train, once[1]], {targets: batch})
                session.run(advance)
                result["losses"].append(value)
            session.run(lowering.copy_slices_to_masters())
            result["trained"] = masters(session, variables)
            slots = [v for v in tf.global_variables() if "_slot_v" in v.op.name]
            stems = {v.op.name.removesuffix("_slice_0"): v for v in slots}
            result["slots"] = dict(zip(stems, session.run(list(stems.values())), strict=True))
    return result


def parameters(gin_file):
    """Returns the number of parameters of the model that a gin file describes, at its own size."""
    import math

    import gin

    graphs.parse(gin_file)
    size = gin.query_parameter("vocabulary_size/gin.macro.value")
    return sum(map(math.prod, graphs.variable_shapes(size).values()))


def shapes(gin_file):
    """Returns the shapes of the variables of the model that a gin file describes, by name."""
    graphs.parse(gin_file)
    return {name: tuple(shape) for name, shape in graphs.variable_shapes(length=16).items()}


def activations(x):
    """Returns the values of our additional activations for an array, by name."""
    from primer_tf.mesh.layers.activations import ELEMENTWISE

    with tf.Graph().as_default(), tf.Session() as session:
        return session.run({name: call(tf.constant(x)) for name, call in ELEMENTWISE.items()})


@contextlib.contextmanager
def _all_arithmetic_in(dtype):
    """Replaces float32 where Mesh TensorFlow uses it whatever the dtype of the variables is."""

    def get_variable(mesh, name, shape, *args, initializer=None, trainable=True, **kwargs):
        return original(mesh, name, shape, dtype, initializer=initializer, trainable=trainable)

    def to_float(x, name="to_float"):
        return mtf.cast(x, dtype, name=name)

    original = mtf.get_variable
    replaced = {"get_variable": get_variable, "to_float": to_float}
    with contextlib.ExitStack() as patches:
        for module in (mtf, mtf.ops, mtf.ops_with_redefined_builtins):
            patches.enter_context(mock.patch.multiple(module, **replaced))
        as_is = functools.partial(attention.attention, float32_logits=False)
        patches.enter_context(mock.patch.object(attention, "attention", as_is))
        yield


class _MeshModel:
    """A Mesh TensorFlow graph and the model in it, on one device."""

    def __init__(self, dtype):
        import gin

        self.graph = mtf.Graph()
        self.mesh = mtf.Mesh(self.graph, "mesh")
        self.model = graphs.build_model(gin.query_parameter("vocabulary_size/gin.macro.value"))
        self.dtype = mtf.VariableDType(dtype, dtype, dtype)

    def ids(self, tensor):
        """Imports `[batch, length]` ids."""
        batch, length = tensor.shape.as_list() if tf.is_tensor(tensor) else tensor.shape
        shape = [mtf.Dimension("batch", batch), mtf.Dimension("length", length)]
        return mtf.import_fully_replicated(
            self.mesh, tf.convert_to_tensor(tensor, tf.int32), mtf.Shape(shape)
        )

    def call(self, targets):
        """Returns logits and loss of `[batch, length]` targets, as in training."""
        ids = self.ids(targets)
        sequence_id = mtf.to_int32(mtf.not_equal(ids, 0))
        logits, loss = self.model.call_simple(
            transformer.autoregressive_inputs(ids, sequence_id),
            ids,
            compute_loss=True,
            mode=tf.estimator.ModeKeys.TRAIN,
            variable_dtype=self.dtype,
            sequence_id=sequence_id,
            position=mtf.range(self.mesh, ids.shape.dims[-1], tf.int32),
        )
        return mtf.anonymize(logits), loss

    def continuation(self, prompts):
        """Returns prompts with their greedy continuations, `[batch, length]`."""
        return mtf.anonymize(
            self.model.sample_autoregressive(
                self.ids(prompts), temperature=0.0, variable_dtype=self.dtype
            )
        )

    def lowering(self):
        """Returns the lowering of the graph to TensorFlow."""
        mesh_impl = mtf.placement_mesh_impl.PlacementMeshImpl(mtf.Shape([]), [], [""])
        return mtf.Lowering(self.graph, {self.mesh: mesh_impl})


def draw_weights(session, variables, seed):
    """Sets every variable to random values near its initial ones."""
    rng = np.random.default_rng(seed)
    for variable in sorted(variables, key=lambda v: v.name):
        master = variable.get_master()
        value = session.run(master)
        spread = max(0.1 * np.abs(value).mean(), 0.02)
        master.load(value + rng.normal(0, spread, value.shape).astype(value.dtype), session)


def masters(session, variables):
    """Returns the values of Mesh TensorFlow variables by name."""
    return {v.name: session.run(v.get_master()) for v in variables}
