"""The files that the pages for contributors name are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["CONTRIBUTING.md", "docs/contributing/add_a_sublayer.md"]
PAGES.append("docs/contributing/decoding_cache.md")


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    names = re.findall(r"(?<=[`\s])(?:primer_tf|tests|gin|docs|tasks|export)/[\w./]+", text)
    names += [f"docs/contributing/{name}" for name in re.findall(r"\]\((\w+\.\w+)\)", text)]
    assert len(names) > 1
    assert [name for name in names if not (ROOT / name).exists()] == []
