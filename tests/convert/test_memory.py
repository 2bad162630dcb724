"""Converting a large checkpoint needs little more memory than the checkpoint's size."""

import os
import subprocess
import sys

import numpy as np
import pytest

from primer_tf.convert.mesh_checkpoint import CheckpointWriter
from primer_tf.convert.variable_names import mesh_names
from primer_tf.models import PrimerBackbone
from primer_tf.models.without_values import without_values

# Runs a command in its own process and prints its peak memory in bytes.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print("peak", 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak(*arguments):
    command = [sys.executable, "-c", PEAK, sys.executable, "-m", "primer_tf.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return int(done.stdout.split("peak ")[1])


@pytest.mark.slow
def test_537_million_parameters_in_one_and_a_half_times_their_size(vocabulary_file, tmp_path):
    backbone = without_values(lambda: PrimerBackbone.from_preset("large_primer"))
    names = mesh_names(backbone)
    shapes = {names[v.path]: tuple(v.shape) for v in backbone.weights}
    mesh, preset, again = (str(tmp_path / name) for name in ("mesh", "preset", "again"))
    with CheckpointWriter(mesh, 1) as checkpoint:
        for name, shape in shapes.items():
            checkpoint.add(name, np.full(shape, 0.01, "float32"))
    size = 4 * sum(np.prod(shape) for shape in shapes.values())
    assert size == 4 * 536_685_056
    used = peak(
        *("convert", "mesh-to-keras", mesh, preset),
        *("--gin_file", "models/large_primer.gin", "--vocabulary", str(vocabulary_file)),
    )
    back = peak("convert", "keras-to-mesh", preset, again)
    print(f"checkpoint {size / 1e9:.2f} GB, peaks {used / 1e9:.2f} and {back / 1e9:.2f} GB")
    assert used < 1.5 * size
    assert back < 1.5 * size
