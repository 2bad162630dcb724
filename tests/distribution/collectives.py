"""Compiles a training step for virtual devices and prints its collectives as JSON.

`python -m tests.distribution.collectives PRESET MESH` needs KERAS_BACKEND=jax, and the devices in
XLA_FLAGS. Each collective is its kind and the shapes of what it returns.
"""

import json
import re
import sys

from primer_tf.distribution import parse_mesh
from primer_tf.distribution.abstract_training import abstract_training
from primer_tf.distribution.compiled_memory import compiled_step

BATCH_SIZE, SEQUENCE_LENGTH = 4, 32
KINDS = "all-gather|all-reduce|all-to-all|reduce-scatter|collective-permute"


def collectives(text):
    """The collectives in the text of a compiled program; those of several arrays are one."""
    found = re.findall(rf"= (.+?) ({KINDS})(?:-start)?\(", text)
    return [[kind, shapes_in(result)] for result, kind in found]


def shapes_in(text):
    return [
        [int(size) for size in shape.split(",") if size]
        for shape in re.findall(r"\w+\[([\d,]*)\]", text)
    ]


def main():
    preset, mesh = sys.argv[1:]
    training = abstract_training(preset, parse_mesh(mesh))
    text = compiled_step(training, BATCH_SIZE, SEQUENCE_LENGTH).as_text()
    print(json.dumps(collectives(text)))


if __name__ == "__main__":
    main()
