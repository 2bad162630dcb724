"""The guides name only what exists. `make newcomer` runs them."""

import ast
import shlex
from importlib import import_module

import pytest

from primer_tf.cli import build_parser
from tests.docs.guide_blocks import CHECKOUT, GUIDES, blocks

EACH_GUIDE = pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)


def of_language(page, language):
    return [block for block in blocks(page) if block.language == language]


@EACH_GUIDE
def test_python_blocks_import_what_exists(page):
    for block in of_language(page, "python"):
        for node in ast.walk(ast.parse(block.code)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("primer_tf"):
                try:
                    module = import_module(node.module)
                except ModuleNotFoundError as error:
                    if error.name != "lm_eval":
                        raise
                    pytest.skip("lm-eval is not installed: it is the extra [eval]")
                for name in node.names:
                    assert hasattr(module, name.name), f"{page.name}:{block.line}: {name.name}"


@EACH_GUIDE
def test_commands_have_the_options_of_the_command_line(page, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for block in of_language(page, "sh"):
        for line in block.code.replace("\\\n", " ").splitlines():
            if line.startswith("primer "):
                try:
                    build_parser().parse_args(shlex.split(line, comments=True)[1:])
                except SystemExit as end:
                    assert not end.code, f"{page.name}:{block.line}: {line}"


def test_every_guide_is_in_the_navigation():
    navigation = (CHECKOUT / "mkdocs.yml").read_text(encoding="utf-8")
    assert GUIDES
    for page in GUIDES:
        assert f"- guides/{page.name}" in navigation, page.name
