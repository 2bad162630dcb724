"""Builds the model described by gin files, without data, a session or memory for its weights."""

from collections.abc import Iterable

import gin
import mesh_tensorflow as mtf
import pkg_resources
import tensorflow.compat.v1 as tf
from mesh_tensorflow.transformer import transformer, utils

from primer_tf.types import StrPath

# T5's 32,000 pieces and 100 sentinels; the embedding is padded to a multiple of 128.
VOCABULARY_SIZE = 32100


def parse(*files: StrPath, bindings: Iterable[str] = ()) -> None:
    """Clears gin and parses Mesh TensorFlow's defaults, then the files, then the bindings.

    Args:
      *files: Values of `--gin_file`, such as `"models/small_primer.gin"`.
      bindings: Values of `--gin_param`, such as `"num_layers = 6"`.

    Raises:
      ValueError: If a binding names an unknown configurable or argument.
      OSError: If a file does not exist.
    """
    gin.clear_config()
    gin.parse_config_file(pkg_resources.resource_filename(utils.__name__, "gin/defaults.gin"))
    gin.parse_config_files_and_bindings(list(files), list(bindings), finalize_config=False)


def build_model(vocabulary_size: int = VOCABULARY_SIZE) -> transformer.Unitransformer:
    """Returns the `Unitransformer` described by the parsed gin files."""
    layout = gin.query_parameter("utils.run.layout_rules")
    return utils.build_model("lm", vocabulary_size, vocabulary_size, layout, mesh_shape="")


def variable_shapes(
    vocabulary_size: int = VOCABULARY_SIZE, length: int = 128
) -> dict[str, list[int]]:
    """Returns the shapes of the trainable variables of the model described by the gin files.

    Args:
      vocabulary_size: The number of token ids, T5's 32,100 by default.
      length: The length of the sequence that the graph is built for, 128 by default.

    Returns:
      A dictionary from the name of a variable to its shape.
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
