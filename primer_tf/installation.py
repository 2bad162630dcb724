"""How this package was installed, for messages that say how to add a part."""

import importlib.util
import json
import shlex
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

# T5 itself is installed after its extra: its own requirements would break it.
AFTERWARDS = {"t5": " && pip install --no-deps t5==0.9.4"}


def install_command(extra: str) -> str:
    """Returns the command that adds an extra to this installation.

    Args:
        extra: Name of the extra, such as `"demo"` or `"t5"`.

    Returns:
        A line for a shell, which works for a checkout, a wheel, a repository and a package index.
    """
    return f"pip install {_requirement(extra)}{AFTERWARDS.get(extra, '')}"


def package_folder(name: str) -> Path | None:
    """Returns the folder of an installed package, which is not imported, or `None`.

    Args:
        name: The name by which it is imported.
    """
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def _requirement(extra: str) -> str:
    try:
        text = metadata.distribution("primer_tf").read_text("direct_url.json")
    except metadata.PackageNotFoundError:  # a checkout that is only on the path
        return _in_folder(Path(__file__).parents[1], extra)
    if text is None:
        return shlex.quote(f"primer_tf[{extra}]")
    source = json.loads(text)
    if version := source.get("vcs_info"):
        url = f"{version['vcs']}+{source['url']}@{version['commit_id']}"
        return shlex.quote(f"primer_tf[{extra}] @ {url}")
    path = Path(unquote(urlsplit(source["url"]).path))
    if source.get("dir_info", {}).get("editable"):
        return _in_folder(path, extra)
    return shlex.quote(f"{path}[{extra}]")


def _in_folder(path: Path, extra: str) -> str:
    return f"-e {shlex.quote(f'{path}[{extra}]')}"
