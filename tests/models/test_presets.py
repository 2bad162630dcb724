"""Presets have the published parameter counts and the variables of their golden files.

`python -m tests.models.test_presets` writes the golden files again.
"""

import json
import math
import re
from pathlib import Path

import keras
import pytest

from primer_tf.gin_config.presets import (
    preset_arguments,
    preset_names,
    preset_parameters,
    preset_table,
)
from primer_tf.models import PrimerBackbone
from primer_tf.models.without_values import without_values
from tests.mesh.paper_values import AS_PUBLISHED, PUBLISHED

GOLDEN = Path(__file__).parent / "golden"

# The paper's table of sizes, for presets without a published count; 1.9 billion for xl.
SIZES = {"small": 35e6, "medium": 110e6, "large": 537e6, "xl": 1.9e9}

# The vanilla Transformers by hand: embedding, position biases, final normalization, then layers.
VANILLA = {
    size: 32128 * c + 32 * h + 2 * c + layers * (4 * c * h * 64 + 2 * c * f + f + c + 4 * c)
    for size, c, layers, h, f in (
        ("small", 512, 6, 8, 2048),
        ("medium", 768, 12, 12, 3072),
        ("large", 1024, 24, 16, 8192),
    )
}


def describe(preset):
    """Returns the shapes of a preset's variables, with `*` for the blocks, which are identical."""
    keras.backend.clear_session()
    # Variables have no values, so even 1.9 billion parameters need no memory.
    backbone = without_values(lambda: PrimerBackbone(**preset_arguments(preset)))
    shapes = {}
    for variable in backbone.weights:
        name = re.sub(r"block_\d+", "block_*", variable.path)
        shapes.setdefault(name, []).append(list(variable.shape))
    for name, copies in shapes.items():
        assert all(shape == copies[0] for shape in copies), name
    variables = {name: [len(copies), copies[0]] for name, copies in shapes.items()}
    count = sum(n * math.prod(shape) for n, shape in variables.values())
    return {"parameters": count, "variables": variables}


def test_every_preset_has_a_golden_file():
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(preset_names())


@pytest.mark.parametrize("preset", preset_names())
def test_golden(preset):
    actual = describe(preset)
    assert actual == json.loads((GOLDEN / f"{preset}.json").read_text())
    assert actual["parameters"] == preset_parameters(preset)


@pytest.mark.parametrize("preset", preset_names())
def test_published_count(preset):
    count = preset_parameters(preset)
    size = preset.split("_")[0]
    if size == "tiny":
        assert 2e6 <= count <= 3e6
    elif published := {**PUBLISHED, **AS_PUBLISHED}.get(preset):
        assert count / 1e6 == pytest.approx(published, rel=0.018, abs=0.5)
    else:
        assert count == pytest.approx(SIZES[size], rel=0.03)


@pytest.mark.parametrize("size", VANILLA)
def test_vanilla_count_by_hand(size):
    assert preset_parameters(f"{size}_transformer_vanilla") == VANILLA[size]


@pytest.mark.parametrize("size, layers, inner", [("small", 6, 512), ("large", 24, 1024)])
def test_mdha_adds_three_taps_for_each_projection(size, layers, inner):
    vanilla, ez = (
        preset_parameters(f"{size}_{name}") for name in ("transformer_vanilla", "primer_ez")
    )
    assert ez - vanilla == layers * 3 * 3 * inner


def test_table_has_every_preset_with_its_exact_count():
    table = preset_table()
    for preset in preset_names():
        count = preset_parameters(preset)
        assert re.search(rf"^{preset} .* {count:,}$", table, re.MULTILINE)


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for preset in preset_names():
        golden = describe(preset)
        lines = ",\n".join(
            f"    {json.dumps(name)}: {json.dumps(value)}"
            for name, value in golden["variables"].items()
        )
        text = (
            f'{{\n  "parameters": {golden["parameters"]},\n  "variables": {{\n{lines}\n  }}\n}}\n'
        )
        (GOLDEN / f"{preset}.json").write_text(text)
        print(preset, golden["parameters"])
