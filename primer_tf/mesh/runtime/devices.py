"""The devices a graph asks for, against those the machine has.

TensorFlow offers a session one CPU device unless told otherwise, and soft placement silently moves
what was meant for `cpu:1` to `cpu:0`; a mesh laid out over CPU devices would then run on one.
"""

import re

import tensorflow as tf2
import tensorflow.compat.v1 as tf

from primer_tf.errors import UserError


def session_config(graph, base=None):
    """Returns a `ConfigProto` with every device that the graph's operations name.

    Args:
      graph: the complete `tf.Graph`.
      base: an optional `ConfigProto` to start from.

    Raises:
      UserError: if the graph names more GPUs than the machine has, or a TPU.
    """
    named = {op.device for op in graph.get_operations()}
    config = tf.ConfigProto(allow_soft_placement=True)
    if base is not None:
        config.MergeFrom(base)
    config.device_count["CPU"] = max(count(named, "CPU"), 1)
    if count(named, "TPU"):
        raise UserError(
            "This run asks for TPU devices, which the Estimator on this TensorFlow cannot drive; "
            "use hardware/cpu.gin, hardware/cpu_mesh.gin or hardware/gpu.gin."
        )
    wanted, present = count(named, "GPU"), len(tf2.config.list_physical_devices("GPU"))
    if wanted > present:
        raise UserError(
            f"The mesh names {wanted} GPU(s) and this machine has {present}; "
            "correct utils.run.mesh_shape and utils.run.mesh_devices."
        )
    return config


def count(names, kind):
    """Returns one more than the highest index of the devices of a kind among device strings."""
    pattern = re.compile(rf"(?:^|[/:]){kind}:(\d+)$", re.IGNORECASE)
    return max((int(m[1]) + 1 for m in map(pattern.search, names) if m), default=0)
