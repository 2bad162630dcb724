"""MkDocs hooks: what the API reference is read from, and the list of gin files.

As a command, with a folder: puts the package together there.
"""

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
GIN_FOLDERS = ("models", "architectures", "sizes", "run", "hardware")


def build_sources(folder):
    """Puts the package together in a folder as a wheel has it, `tasks` and `export` inside."""
    package = Path(folder) / "primer_tf"
    shutil.rmtree(package, ignore_errors=True)
    no_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "primer_tf", package, ignore=no_caches)
    for name in ("tasks", "export"):
        shutil.copytree(ROOT / name, package / name, ignore=no_caches)


def on_startup(command, dirty):
    """Builds what mkdocstrings reads, before it looks for the folder."""
    build_sources(ROOT / "build" / "docs_sources")


def on_page_markdown(markdown, page, config, files):
    """Fills in the list of gin files where a page asks for it."""
    return markdown.replace("{{ gin_files }}", gin_files())


def gin_files():
    """Returns tables of all gin files, each with the comment it begins with."""
    lines = []
    for folder in GIN_FOLDERS:
        lines += [f"### `{folder}/`", "", "| file | what it says |", "| --- | --- |"]
        for path in sorted((ROOT / "gin" / folder).glob("*.gin")):
            lines.append(f"| `{folder}/{path.name}` | {first_comment(path)} |")
        lines.append("")
    return "\n".join(lines)


def first_comment(path):
    """Returns the comment at the head of a gin file as one line."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines).replace("|", "\\|")


if __name__ == "__main__":
    build_sources(sys.argv[1])
