"""How a mesh of devices splits the weights."""

import keras

from primer_tf.distribution.mesh_shape import MeshShape
from primer_tf.models.primer_backbone import PrimerBackbone


def mesh_layouts(mesh: MeshShape, devices: list[str]) -> keras.distribution.LayoutMap | None:
    """Returns how a mesh splits the weights, or `None` if each device has all of them.

    Args:
        mesh: The `MeshShape`.
        devices: Names of its devices.
    """
    if mesh.model == 1 and not mesh.fully_sharded:
        return None
    batch = mesh.batch_axis
    device_mesh = keras.distribution.DeviceMesh(
        (mesh.replicas, mesh.model), [batch, "model"], devices
    )
    return PrimerBackbone.get_layout_map(
        device_mesh, "model", batch if mesh.fully_sharded else None
    )
