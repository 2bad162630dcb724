"""The shape of a mesh, as the command line has it."""

import pytest

from primer_tf.distribution import MeshShape, parse_mesh
from primer_tf.errors import UserError


@pytest.mark.parametrize(
    "text, shape, devices",
    [
        ("data:4", MeshShape(replicas=4), 4),
        ("data:4,model:2", MeshShape(replicas=4, model=2), 8),
        ("model:2, data:4", MeshShape(replicas=4, model=2), 8),
        ("model:2", MeshShape(model=2), 2),
        ("fsdp:8", MeshShape(replicas=8, fully_sharded=True), 8),
        ("fsdp:2,model:3", MeshShape(replicas=2, model=3, fully_sharded=True), 6),
    ],
)
def test_shape(text, shape, devices):
    assert parse_mesh(text) == shape and shape.devices == devices
    assert parse_mesh(str(shape)) == shape


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "unknown axis ''; known: data, fsdp, model"),
        ("heads:2", "unknown axis 'heads'; known: data, fsdp, model"),
        ("data", "needs a size for data, as in data:2"),
        ("data:0", "needs a size for data"),
        ("data:-1", "needs a size for data"),
        ("data:two", "needs a size for data"),
        ("data:2,", "unknown axis ''"),
        ("model:2,model:2", "has model twice"),
        ("data:2,fsdp:2", "both data and fsdp"),
    ],
)
def test_errors(text, message):
    with pytest.raises(UserError, match=message) as error:
        parse_mesh(text)
    assert "\n" not in str(error.value)
