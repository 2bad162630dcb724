"""Names of the devices that a mesh is laid out over."""

import gin


@gin.configurable(module="primer_tf.mesh")
def mesh_devices(mesh_shape=gin.REQUIRED, kind="cpu"):
    """Returns one device for each part of a mesh; a value for `utils.run.mesh_devices`.

    Args:
      mesh_shape: a string as `utils.run.mesh_shape` takes it, such as `"batch:2,model:2"`.
      kind: `"cpu"` or `"gpu"`.
    """
    import mesh_tensorflow as mtf

    return [f"{kind}:{index}" for index in range(mtf.convert_to_shape(mesh_shape).size)]
