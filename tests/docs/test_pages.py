"""The pages are correct: their code runs, and the files that they name exist."""

import re
from pathlib import Path
from xml.etree import ElementTree

import keras
import numpy as np
import pytest

from primer_tf.layers import sublayer
from primer_tf.models.cached_generation import PREFILL_CHUNK
from tests.mesh.paper_values import AS_PUBLISHED, PUBLISHED
from tests.readme import README, code_blocks

CHECKOUT = Path(__file__).parents[2]
PAGES = [CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
CONTRIBUTING = CHECKOUT / "docs" / "contributing"
FOLDERS = "benchmarks|docs|export|gin|primer_tf|tasks|tests"


def test_the_example_of_a_sublayer(monkeypatch):
    """It decodes as in a forward pass, its cost is right, and its configuration restores it."""
    monkeypatch.setattr(sublayer, "_REGISTRY", dict(sublayer._REGISTRY))
    names = {}
    for code in code_blocks(CONTRIBUTING / "add_a_sublayer.md")["Adding one"]:
        exec(code, names)
    backbone = names["backbone"]
    rng = np.random.default_rng(0)
    scales = [w for w in backbone.weights if w.path.endswith("channel_scale/scale")]
    assert len(scales) == 2
    for scale in scales:
        scale.assign(rng.normal(size=16))
    cost = sublayer.get_sublayer("channel_scale").cost({"hidden_dim": 16})
    assert cost.parameters == 16
    restored = type(backbone).from_config(backbone.get_config())
    restored.set_weights(backbone.get_weights())

    x = rng.normal(size=(2, 5, 16)).astype("float32")
    full = backbone.decoder(x)
    np.testing.assert_allclose(restored.decoder(x), full, rtol=1e-5, atol=1e-5)
    cache, steps = backbone.decoder.build_cache(2, 5), []
    for index in range(5):
        y, cache = backbone.decoder(x[:, index : index + 1], cache=cache, cache_update_index=index)
        steps.append(y)
    np.testing.assert_allclose(keras.ops.concatenate(steps, axis=1), full, rtol=1e-5, atol=1e-5)


def test_size_of_a_chunk():
    text = (CONTRIBUTING / "decoding_cache.md").read_text(encoding="utf-8")
    assert f"chunks of {PREFILL_CHUNK} positions" in text


def test_number_of_rows_of_parity():
    text = README.read_text(encoding="utf-8")
    rows, models = len(PUBLISHED | AS_PUBLISHED), len(PUBLISHED)
    assert f"{rows} gin files: the {models} published models, full Primer in both versions" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_files_exist(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(rf"`((?:{FOLDERS})/[\w./]*)`", text):
        assert (CHECKOUT / name).exists(), name


def test_the_layout_names_every_package():
    text = (CONTRIBUTING / "layout.md").read_text(encoding="utf-8")
    diagram = (CONTRIBUTING / "layout.svg").read_text(encoding="utf-8")
    folders = {path.parent.name for path in (CHECKOUT / "primer_tf").glob("*/__init__.py")}
    for name in folders | {"tasks", "export"}:
        assert f"{name}/`" in text and f">{name}<" in diagram, name


def test_diagrams_are_whole():
    """They are well-formed, have descriptions for screen readers, and load nothing."""
    diagrams = sorted(CONTRIBUTING.glob("*.svg"))
    assert len(diagrams) == 4
    for path in diagrams:
        root = ElementTree.parse(path).getroot()
        assert [child.tag.rpartition("}")[2] for child in root[:2]] == ["title", "desc"]
        assert "href" not in path.read_text() and "url(http" not in path.read_text()
