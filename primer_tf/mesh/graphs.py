"""Builds the model that gin files describe, without data, session or memory for its weights."""

import gin
import mesh_tensorflow as mtf
import pkg_resources
import tensorflow.compat.v1 as tf
from mesh_tensorflow.transformer import transformer, utils

# T5's 32,000 pieces and 100 sentinels; the embedding is padded to a multiple of 128.
VOCABULARY_SIZE = 32100


def parse(*files, bindings=()):
    """Clears gin and parses Mesh TensorFlow's defaults, then files, then bindings.

    Args:
      *files: paths as `--gin_file` takes them, such as `"models/small_primer.gin"`.
      bindings: strings as `--gin_param` takes them.

    Raises:
      ValueError: for a binding that names nothing.
      OSError: for a file that is not found.
    """
    gin.clear_config()
    gin.parse_config_file(pkg_resources.resource_filename(utils.__name__, "gin/defaults.gin"))
    gin.parse_config_files_and_bindings(list(files), list(bindings), finalize_config=False)


def build_model(vocabulary_size=VOCABULARY_SIZE):
    """Returns the `Unitransformer` that the parsed gin files describe."""
    layout = gin.query_parameter("utils.run.layout_rules")
    return utils.build_model("lm", vocabulary_size, vocabulary_size, layout, mesh_shape="")


def variable_shapes(vocabulary_size=VOCABULARY_SIZE, length=128):
    """Returns the trainable variables of the model that the parsed gin files describe.

    Args:
      vocabulary_size: an integer.
      length: an integer, of the sequence with which the graph is built.

    Returns:
      A dictionary from name to shape, a list of integers.
    """
    with tf.Graph().as_default():
        graph = mtf.Graph()
        mesh = mtf.Mesh(graph, "mesh")
        ids = mtf.zeros(
            mesh, [mtf.Dimension("batch", 2), mtf.Dimension("length", length)], dtype=tf.int32
        )
        build_model(vocabulary_size).call_simple(
            transformer.autoregressive_inputs(ids), ids, compute_loss=True, mode="eval"
        )
        return {v.name: v.shape.to_integer_list for v in graph.trainable_variables}
