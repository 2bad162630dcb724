"""Keras computes, learns and writes what Mesh TensorFlow does, from one gin file."""

import pytest
from parity import compare, run_in_tf1
from published import PUBLISHED

FAST = ("small_primer", "switch_primer")


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
