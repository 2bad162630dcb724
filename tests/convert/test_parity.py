"""Keras computes, learns and writes what Mesh TensorFlow does, from the same gin file and weights."""

import json
from pathlib import Path

import pytest
from parity import compare, keras_parameters, run_in_tf1
from published import PUBLISHED

from primer_tf.zoo.presets import preset_names

FAST = ("small_primer", "switch_primer")
GOLDEN = json.loads(
    (Path(__file__).parents[1] / "mesh" / "golden" / "parameter_counts.json").read_text()
)


@pytest.fixture
def mesh(tf1_process):
    def call(function="reference", **kwargs):
        return tf1_process.submit(run_in_tf1, function, kwargs).result()

    return call


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in FAST else pytest.mark.slow) for n in PUBLISHED],
)
def test_engines_agree(name, mesh):
    row = compare(name, mesh)
    assert not row.problems(), row


@pytest.mark.parametrize("name", preset_names())
def test_keras_has_the_golden_count_of_mesh_tensorflow(name):
    assert keras_parameters(name) == GOLDEN[name]
