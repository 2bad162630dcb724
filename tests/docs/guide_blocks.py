"""The fenced code blocks of the users' guides."""

import re
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
GUIDES = sorted((CHECKOUT / "docs" / "guides").glob("*.md"))


@dataclass(frozen=True)
class Block:
    """A code block.

    Args:
        language: `"python"` or `"sh"`, which run, or the name of something that does not.
        code: The text of the block.
        line: Number of its first line in the page.
    """

    language: str
    code: str
    line: int


def blocks(page):
    """Returns the blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(match["language"], match["code"], text.count("\n", 0, match.start("code")) + 1)
        for match in re.finditer(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", text, re.M | re.S)
    ]
