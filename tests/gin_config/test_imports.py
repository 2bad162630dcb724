"""Gin files are read without TensorFlow and Keras."""

import subprocess
import sys

CODE = """
import sys
from primer_tf.cli import main
from primer_tf.gin_config import presets

assert main(["models"]) == 0
for name in presets.preset_names():
    presets.preset_arguments(name)
heavy = {"tensorflow", "keras", "keras_hub", "numpy", "mesh_tensorflow"}
print("heavy:", *(heavy & sys.modules.keys()))
"""


def test_reading_imports_neither_engine():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert "tiny_primer_ez " in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["heavy:"]
