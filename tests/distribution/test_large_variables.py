"""Every variable above 1 MB of the large models is split along the axes that it should be."""

import json
import re

import pytest

from tests.distribution.run_module import run_module
from tests.distribution.several_hosts import environment
from tests.distribution.test_layout_map import BY_HAND

# The number of large weights: those of the blocks and the embedding.
COUNTS = {"large_primer": 24 * 6 + 1, "xl_primer_ez": 24 * 6 + 1}
AXES = {"model": "model", "batch": "fsdp"}


def printed(request, devices, script, *arguments):
    """Returns what a script of this folder prints."""
    module = f"tests.distribution.{script}"
    return json.loads(
        run_module(request, environment(devices), module, *arguments).splitlines()[-1]
    )


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adafactor", "adamw", "muon"])
@pytest.mark.parametrize("preset", COUNTS)
def test_axes(request, preset, optimizer):
    found = printed(request, 1, "large_variables", preset, "fsdp:4,model:2", optimizer)
    by_path = {}
    for path, (_, axes) in found["weights"].items():
        name = re.sub(r"^decoder/block_\d+/sublayer_\d+/", "", path)
        assert axes == [AXES[axis] for axis in BY_HAND[name]], path
        by_path[path.replace("/", "_")] = axes
    assert len(by_path) == COUNTS[preset]
    for path, (_, axes) in found["optimizer"].items():
        weight = re.sub(r"^\w+/(.*)_(momentum|velocity)$", r"\1", path)
        assert axes == by_path[weight], path
    # Those of Muon but for the embedding, which AdamW trains, have a momentum only.
    slots = {"adafactor": 0, "adamw": 2 * len(by_path), "muon": len(by_path) + 1}
    assert len(found["optimizer"]) == slots[optimizer]


@pytest.mark.slow
@pytest.mark.parametrize("mesh", ["fsdp:4", "model:4"])
def test_large_weights_are_made_in_parts(request, mesh):
    """No device or host ever has a whole one."""
    found = printed(request, 4, "build_sharded", mesh)
    large = {path: sizes for path, sizes in found["parts"].items() if sizes[0] > 2**26}
    assert len(large) == 3  # The embedding and the two kernels of the feed-forward layer.
    assert all(part == whole / 4 for whole, part in large.values())
    assert 0 < found["whole"] < 2**20
