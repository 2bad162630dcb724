"""TensorFlow's data parallelism over the GPUs of one machine, for a mesh."""

import os
from typing import TYPE_CHECKING

from primer_tf.distribution.mesh_shape import MeshShape
from primer_tf.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf


def mirrored_strategy(mesh: MeshShape) -> "tf.distribute.MirroredStrategy":
    """Returns a strategy over GPUs, or over virtual devices of the CPU if there is no GPU.

    Args:
        mesh: The `MeshShape`, of which TensorFlow has `data` only.

    Returns:
        A `tf.distribute.MirroredStrategy`.

    Raises:
        UserError: The mesh has other axes or too many devices, or TF_CONFIG names workers.
    """
    import tensorflow as tf

    if mesh.fully_sharded or mesh.model > 1:
        raise UserError(
            f"On TensorFlow a mesh has the axis data only; for {mesh} set KERAS_BACKEND=jax."
        )
    if "worker" in os.environ.get("TF_CONFIG", ""):
        raise UserError(
            "TF_CONFIG asks for several workers, over which only `fit` trains, in the scope of a "
            "MultiWorkerMirroredStrategy; here set KERAS_BACKEND=jax and use --coordinator."
        )
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and len(gpus) < mesh.devices:
        raise UserError(
            f"The mesh {mesh} has {mesh.devices} devices, and there are {len(gpus)} (gpu); choose "
            "a mesh that fits."
        )
    if not gpus:
        (cpu,) = tf.config.list_physical_devices("CPU")
        virtual = [tf.config.LogicalDeviceConfiguration()] * mesh.devices
        tf.config.set_logical_device_configuration(cpu, virtual)
    kind = "GPU" if gpus else "CPU"
    return tf.distribute.MirroredStrategy([f"{kind}:{index}" for index in range(mesh.devices)])
