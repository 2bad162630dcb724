"""Keras' distribution for a mesh of the present devices."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras

from primer_tf.distribution.checked_model_parallel import CheckedModelParallel
from primer_tf.distribution.mesh_layouts import mesh_layouts
from primer_tf.distribution.mesh_shape import MeshShape
from primer_tf.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

VIRTUAL = "; for virtual ones on a CPU set XLA_FLAGS=--xla_force_host_platform_device_count={}"


def make_distribution(
    mesh: MeshShape, devices: Sequence[str] | None = None
) -> "keras.distribution.Distribution | tf.distribute.MirroredStrategy":
    """Returns a distribution over devices.

    Models and optimizers must be made in its `scope()`, and trained and used there. Weights are
    then made in the devices' parts: Keras makes one whole, on one device, only if all devices
    together have room for less than 250 MiB of its copies.

    Args:
        mesh: The `MeshShape`.
        devices: Names of the devices. Defaults to all that JAX sees, on all hosts.

    Returns:
        A `keras.distribution.DataParallel` if every device has all weights, else a
        `keras.distribution.ModelParallel`. On TensorFlow a `tf.distribute.MirroredStrategy`.

    Raises:
        UserError: Keras' backend is PyTorch, or TensorFlow and the mesh has other axes than `data`,
            or there are not as many devices. In the scope: a weight cannot be divided among them.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from primer_tf.distribution.mirrored_strategy import mirrored_strategy

        return mirrored_strategy(mesh)
    if backend != "jax":
        raise UserError(f"A mesh needs Keras on JAX, not on {backend}; set KERAS_BACKEND=jax.")
    import jax

    if devices is None:
        devices = _devices_by_host()
    if len(devices) != mesh.devices:
        kind = devices[0].partition(":")[0]
        raise UserError(
            f"The mesh {mesh} has {mesh.devices} devices, and there are {len(devices)} ({kind})"
            f"{VIRTUAL.format(mesh.devices) if kind == 'cpu' else '; choose a mesh that fits'}."
        )
    _check_hosts(mesh, jax.process_count())
    layouts = mesh_layouts(mesh, list(devices))
    if layouts is None:
        return keras.distribution.DataParallel(
            keras.distribution.DeviceMesh((mesh.replicas,), [mesh.batch_axis], devices),
            auto_shard_dataset=False,
        )
    return CheckedModelParallel(
        layout_map=layouts, batch_dim_name=mesh.batch_axis, auto_shard_dataset=False
    )


def _devices_by_host() -> list[str]:
    """Returns the names of all devices, those of a host next to each other."""
    import jax

    hosts = {f"{device.platform}:{device.id}": device.process_index for device in jax.devices()}
    return sorted(keras.distribution.list_devices(), key=hosts.__getitem__)


def _check_hosts(mesh: MeshShape, num_hosts: int) -> None:
    """Checks that each host computes whole parts of a batch, or a share of one."""
    own = mesh.devices // num_hosts
    if own % mesh.model and mesh.model % own:
        raise UserError(
            f"The mesh's model:{mesh.model} neither divides the {own} devices of a host nor is a "
            "multiple of them; choose a size that is."
        )
