"""Plans training on meshes of virtual devices, compiles it, and prints both as JSON.

`python -m tests.distribution.plan_on_meshes CASE...` needs KERAS_BACKEND=jax, and
`--xla_force_host_platform_device_count=4` in XLA_FLAGS. A case is `MESH/OPTION=VALUE/...`.
"""

import dataclasses
import json
import sys

import keras

from primer_tf.distribution import parse_mesh
from primer_tf.distribution.abstract_training import abstract_training
from primer_tf.distribution.accelerators import Accelerator
from primer_tf.distribution.compiled_memory import compiled_memory
from primer_tf.distribution.training_plan import plan_training

PRESET = "tiny_primer_ez"
BATCH_SIZE, SEQUENCE_LENGTH = 16, 128
ACCELERATOR = Accelerator(flops=1e12, memory=1e9, bandwidth=1e10)


def main():
    results, list_devices = {}, keras.distribution.list_devices
    for case in sys.argv[1:]:
        mesh, *options = case.split("/")
        shape = parse_mesh(mesh)
        options = {name: json.loads(value) for name, value in (o.split("=") for o in options)}
        devices = list_devices()[: shape.devices]
        keras.distribution.list_devices = lambda devices=devices: devices
        training = abstract_training(PRESET, shape, **options)
        sizes = (BATCH_SIZE, SEQUENCE_LENGTH)
        plan = plan_training(training, ACCELERATOR, 10**6, *sizes, utilization=0.5)
        results[case] = {
            "plan": dataclasses.asdict(plan),
            "compiled": dataclasses.asdict(compiled_memory(training, *sizes)),
        }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
