"""What the pages name is there; `tests/models/test_add_a_sublayer.py` runs their code."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from primer_tf.models.cached_generation import PREFILL_CHUNK

CHECKOUT = Path(__file__).parents[2]
PAGES = [CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
CONTRIBUTING = CHECKOUT / "docs" / "contributing"
FOLDERS = "benchmarks|docs|export|gin|primer_tf|tasks|tests"


def test_size_of_a_chunk():
    text = (CONTRIBUTING / "decoding_cache.md").read_text(encoding="utf-8")
    assert f"chunks of {PREFILL_CHUNK} positions" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_files_are_there(page):
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
    """Well-formed, described for those who do not see them, and without requests elsewhere."""
    diagrams = sorted(CONTRIBUTING.glob("*.svg"))
    assert len(diagrams) == 4
    for path in diagrams:
        root = ElementTree.parse(path).getroot()
        assert [child.tag.rpartition("}")[2] for child in root[:2]] == ["title", "desc"]
        assert "href" not in path.read_text() and "url(http" not in path.read_text()
