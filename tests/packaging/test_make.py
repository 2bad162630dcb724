"""`make help` lists all targets, and the targets that other files call exist."""

import re
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
MAKEFILE = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())


def test_help_lists_all_targets():
    done = subprocess.run(
        ["make", "--no-print-directory"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    lines = dict(re.findall(r"^make (\S+) +(\S.*)$", done.stdout, re.MULTILINE))
    assert lines.keys() == TARGETS


@pytest.mark.parametrize(
    "name", [".github/workflows/ci.yml", ".pre-commit-config.yaml", "CONTRIBUTING.md", ".ci/run"]
)
def test_targets_that_others_call(name):
    text = (CHECKOUT / name).read_text(encoding="utf-8")
    called = re.findall(r"(?:`|entry: |run: |^)make ([a-z][a-z-]*)", text, re.MULTILINE)
    (matrix,) = re.findall(r"target: \[(.*)\]", text) or [""]
    called += [target.split()[0] for target in matrix.split(", ") if target]
    assert called and set(called) <= TARGETS
