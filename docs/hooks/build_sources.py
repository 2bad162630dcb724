"""MkDocs hooks: the sources of the API reference, and the list of gin files.

`python docs/hooks/build_sources.py FOLDER` assembles the package in a folder.
"""

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
GIN_FOLDERS = ("models", "architectures", "sizes", "run", "hardware")


def build_sources(folder):
    """Assembles the package in a folder as in a wheel, with `tasks` and `export` inside."""
    package = Path(folder) / "primer_tf"
    shutil.rmtree(package, ignore_errors=True)
    no_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "primer_tf", package, ignore=no_caches)
    for name in ("tasks", "export"):
        shutil.copytree(ROOT / name, package / name, ignore=no_caches)


def on_startup(command, dirty):
    """Assembles the package before mkdocstrings reads it."""
    build_sources(ROOT / "build" / "docs_sources")


def on_page_markdown(markdown, page, config, files):
    """Replaces the placeholder for the list of gin files."""
    return markdown.replace("{{ gin_files }}", gin_files())


def gin_files():
    """Returns tables of all gin files with their first comments."""
    lines = []
    for folder in GIN_FOLDERS:
        lines += [f"### `{folder}/`", "", "| file | description |", "| --- | --- |"]
        for path in sorted((ROOT / "gin" / folder).glob("*.gin")):
            lines.append(f"| `{folder}/{path.name}` | {first_comment(path)} |")
        lines.append("")
    return "\n".join(lines)


def first_comment(path):
    """Returns the comment at the top of a gin file as one line."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines).replace("|", "\\|")


if __name__ == "__main__":
    build_sources(sys.argv[1])
