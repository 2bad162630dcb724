"""Provides a session with the devices that its graph names.

By default a session has one CPU device, and soft placement silently moves operations from `cpu:1`
to `cpu:0`. A mesh of several CPU devices would then run on one.
"""

import re
from collections.abc import Iterable

import tensorflow as tf2
import tensorflow.compat.v1 as tf

from primer_tf.errors import UserError


def session_config(graph: tf.Graph, base: tf.ConfigProto | None = None) -> tf.ConfigProto:
    """Returns a `ConfigProto` with every device that the graph's operations name.

    Args:
      graph: The complete `tf.Graph`.
      base: A `ConfigProto` whose settings are kept, or None.

    Raises:
      UserError: If the graph names a TPU, or more GPUs than the machine has.
    """
    named = {op.device for op in graph.get_operations()}
    config = tf.ConfigProto(allow_soft_placement=True)
    if base is not None:
        config.MergeFrom(base)
    config.device_count["CPU"] = max(count(named, "CPU"), 1)
    if count(named, "TPU"):
        raise UserError(
            "This run needs TPU devices, which the Estimator on this TensorFlow does not support; "
            "use hardware/cpu.gin, hardware/cpu_mesh.gin or hardware/gpu.gin."
        )
    wanted, present = count(named, "GPU"), len(tf2.config.list_physical_devices("GPU"))
    if wanted > present:
        raise UserError(
            f"The mesh names {wanted} GPU(s) and this machine has {present}; "
            "correct utils.run.mesh_shape and utils.run.mesh_devices."
        )
    return config


def count(names: Iterable[str], kind: str) -> int:
    """Returns how many devices of a kind are needed: the highest index in `names` plus one."""
    pattern = re.compile(rf"(?:^|[/:]){kind}:(\d+)$", re.IGNORECASE)
    return max((int(m[1]) + 1 for m in map(pattern.search, names) if m), default=0)
