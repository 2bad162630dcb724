"""The code blocks of README.md and other pages, for tests that run them."""

import shlex
import textwrap
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
GUIDES = README.parent / "docs" / "guides"


def code_blocks(page=README):
    """Returns the indented blocks of a page, as a dict from heading to list of strings."""
    blocks, heading, lines = {}, None, []

    def close():
        code = textwrap.dedent("\n".join(lines)).strip("\n")
        if code:
            blocks.setdefault(heading, []).append(code)
        lines.clear()

    for line in [*page.read_text(encoding="utf-8").splitlines(), "#"]:
        if line.startswith("    ") or (lines and not line.strip()):
            lines.append(line)
        else:
            close()
        if line.startswith("#"):
            heading = line.strip("# ")
    return blocks


def substitute(code, replacements):
    """Returns code with some texts replaced; fails if the page no longer has one of them."""
    for old, new in replacements.items():
        assert old in code, f"the page no longer contains {old!r}"
        code = code.replace(old, str(new))
    return code


def commands(block):
    """Returns the commands of a shell block, each a list of arguments, without comments."""
    lines = block.replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]
