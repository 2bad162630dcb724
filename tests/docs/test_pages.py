"""The files that the pages name exist; `tests/models/test_add_a_sublayer.py` runs their code."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from primer_tf.models.cached_generation import PREFILL_CHUNK
from tests.mesh.paper_values import AS_PUBLISHED, PUBLISHED
from tests.readme import README

CHECKOUT = Path(__file__).parents[2]
PAGES = [CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
CONTRIBUTING = CHECKOUT / "docs" / "contributing"
FOLDERS = "benchmarks|docs|export|gin|primer_tf|tasks|tests"


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
