"""Names of the devices of a mesh."""

import gin


@gin.configurable(module="primer_tf.mesh")
def mesh_devices(mesh_shape: str = gin.REQUIRED, kind: str = "cpu") -> list[str]:
    """Returns one device for each part of a mesh; a value for `utils.run.mesh_devices`.

    Args:
      mesh_shape: The value of `utils.run.mesh_shape`, such as `"batch:2,model:2"`.
      kind: The kind of device, `"cpu"` (the default) or `"gpu"`.
    """
    import mesh_tensorflow as mtf

    return [f"{kind}:{index}" for index in range(mtf.convert_to_shape(mesh_shape).size)]
