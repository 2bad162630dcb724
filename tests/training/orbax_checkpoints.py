"""Saves and restores checkpoints on meshes of four virtual devices, and prints what happened.

`python -m tests.training.orbax_checkpoints FOLDER` needs KERAS_BACKEND=jax, and
`--xla_force_host_platform_device_count=4` in XLA_FLAGS.
"""

import contextlib
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np

from primer_tf.training.checkpoints import Checkpoints

MESHES = ["none", "1x4", "2x1"]
VALUES = {
    "kernel": np.linspace(-1, 1, 64 * 128, dtype="float32").reshape(64, 128),
    "bias": np.arange(128, dtype="float32"),  # bfloat16 holds these, too.
    "state": np.array([3, 2**32 - 1], "uint32"),
    "iterations": np.int32(7),
}
DTYPES = {"kernel": "float32", "bias": "bfloat16", "state": "uint32", "iterations": "int32"}


def scope(mesh):
    if mesh == "none":
        return contextlib.nullcontext()
    shape = tuple(int(size) for size in mesh.split("x"))
    devices = keras.distribution.list_devices()[: int(np.prod(shape))]
    device_mesh = keras.distribution.DeviceMesh(shape, ["data", "model"], devices)
    layouts = keras.distribution.LayoutMap(device_mesh)
    layouts["kernel"] = (None, "model")
    return keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="data").scope()


def make_model(factor, mesh="none"):
    """Variables with the values above, or all zeros."""
    with scope(mesh):
        variables = {
            name: keras.Variable(
                (factor * value).astype(value.dtype), dtype=DTYPES[name], name=name
            )
            for name, value in VALUES.items()
        }
    iterations = variables.pop("iterations")
    optimizer = SimpleNamespace(built=True, variables=[iterations])
    return SimpleNamespace(variables=[*variables.values()], optimizer=optimizer, metrics=[])


def is_whole(model):
    """Whether all variables have the values above."""
    for variable in [*model.variables, *model.optimizer.variables]:
        value = keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32"))
        if not np.array_equal(value, VALUES[variable.name].astype("float32")):
            return False
    return True


def restored(folder, mesh="none"):
    """The step that is restored, whether it is whole, its sharding, and the printed lines."""
    model, lines = make_model(0, mesh), []
    step = Checkpoints(folder).restore_newest(model, lines.append)
    spec = getattr(model.variables[0].value.sharding, "spec", None)
    return [step, is_whole(model), spec and list(spec), lines]


def damaged(folder):
    """What is restored when each file of the newest checkpoint has one other byte."""
    results = {}
    for path in sorted(path for path in (folder / "step_00000002").rglob("*") if path.is_file()):
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[len(whole) // 2] ^= 0x55
        path.write_bytes(changed)
        results[path.name] = restored(folder)
        path.write_bytes(whole)
    return results


def main():
    folder = Path(sys.argv[1])
    model = make_model(1, "2x2")
    with Checkpoints(folder, keep=2) as checkpoints:
        for step in (1, 2):
            checkpoints.save(model, step)
            model.variables[0].assign(np.zeros((64, 128)))  # The next step comes at once.
            checkpoints.wait()
            model = make_model(1, "2x2")
    unfinished = folder / "step_00000003.orbax-checkpoint-tmp"
    shutil.copytree(folder / "step_00000002", unfinished)
    results = {mesh: restored(folder, mesh) for mesh in MESHES}
    results["unfinished"] = unfinished.exists()
    results["damaged"] = damaged(folder)
    (folder.parent / "file").touch()
    try:
        with Checkpoints(folder.parent / "file" / "checkpoints") as checkpoints:
            checkpoints.save(model, 1)
    except OSError as error:
        results["error"] = str(error)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
