"""Training and generation on a mesh equal those on one device.

On four virtual devices, in processes of their own, because JAX counts its devices once.
"""

import functools
import json

import numpy as np
import pytest

from tests.distribution.meshes import ARCHITECTURES, ERRORS, QUICK, SLOW, STEPS
from tests.distribution.run_module import run_module
from tests.distribution.several_hosts import environment

EACH_MESH = pytest.mark.parametrize(
    "mesh", [*QUICK[1:], *(pytest.param(mesh, marks=pytest.mark.slow) for mesh in SLOW)]
)
EACH_ARCHITECTURE = pytest.mark.parametrize("architecture", ARCHITECTURES)

# Numbers in a variable that must not have a copy on every device.
LARGE = 1024


@pytest.fixture(scope="module")
def results(vocabulary_file, request):
    """A function from a mesh, or `"errors"`, to its results."""
    script = ("tests.distribution.train_on_meshes", vocabulary_file)

    @functools.cache
    def run(meshes):
        return json.loads(run_module(request, environment(4), *script, *meshes).splitlines()[-1])

    return lambda name: run(SLOW if name in SLOW else QUICK)[name]


@EACH_MESH
@EACH_ARCHITECTURE
def test_losses(results, architecture, mesh):
    one, several = results("none")[architecture], results(mesh)[architecture]
    assert len(one["losses"]) == STEPS and one["losses"][-1] != pytest.approx(one["losses"][0])
    np.testing.assert_allclose(several["losses"], one["losses"], rtol=1e-5)
    np.testing.assert_allclose(several["evaluated"], one["evaluated"], rtol=1e-5)
    assert bool(one["evaluated"]) == (architecture == "primer")


@EACH_MESH
@EACH_ARCHITECTURE
def test_text(results, architecture, mesh):
    one, several = results("none")[architecture], results(mesh)[architecture]
    assert len(one["texts"]) == 3 and several["texts"] == one["texts"]
    assert several["text"] == (one["texts"][0] if mesh in ("data:4", "fsdp:4") else "")


@EACH_MESH
@EACH_ARCHITECTURE
def test_large_weights_are_split(results, architecture, mesh):
    axes = {part.partition(":")[0] for part in mesh.split(",")} - {"data"}
    for path, (shape, spec) in results(mesh)[architecture]["weights"].items():
        split = set(spec) - {None, "model" if "model" not in axes else None}
        assert split <= axes, path
        if np.prod(shape) >= LARGE:
            assert split == axes, path


@pytest.mark.parametrize(
    "mesh", ["data:2,model:2", pytest.param("fsdp:2,model:2", marks=pytest.mark.slow)]
)
@EACH_ARCHITECTURE
def test_second_moments_are_split_as_their_weights(results, architecture, mesh):
    found = results(mesh)[architecture]
    kinds = set()
    for name, (shape, spec) in found["slots"].items():
        path, _, kind = name.rpartition(":")
        weight_shape, weight_spec = found["weights"][path]
        if kind == "v":
            expected = weight_spec
        else:
            # `vr` is the mean over the longest axis, `vc` over the second longest.
            lengths = sorted(range(len(weight_shape)), key=lambda i: -weight_shape[i])
            without = lengths[kind == "vc"]
            expected = weight_spec[:without] + weight_spec[without + 1 :]
            assert shape == weight_shape[:without] + weight_shape[without + 1 :]
        assert spec == expected, name
        kinds.add(kind)
    assert kinds == {"v", "vr", "vc"}


@EACH_MESH
def test_each_device_computes_its_share_of_the_loss(results, mesh):
    """A device computes a chunk of its own tokens, whose logits never leave it."""
    one, several = results("none")["loss"], results(mesh)["loss"]
    classes = 2 if "model:2" in mesh else 1
    assert several["flops"] * classes == pytest.approx(one["flops"], rel=0.3)
    assert all(640 not in shape for shape in several["gathered"] if shape[-1] != 32)


def test_errors(results):
    assert len(results("errors")) == len(ERRORS)
    for (mesh, arguments, start), message in zip(ERRORS, results("errors"), strict=True):
        assert message.startswith(start) and bool(message) == bool(start), (mesh, arguments)
