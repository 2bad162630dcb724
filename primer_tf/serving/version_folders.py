"""The versions in a model's folder."""

import re
from collections.abc import Collection
from pathlib import Path

from primer_tf.serving.config import ModelConfig

# Names, sizes and times of a folder's files: they change while someone writes it.
Stamp = tuple[tuple[str, int, int], ...]


def stamp(folder: Path) -> Stamp:
    """Returns what tells whether a folder has changed, empty while that cannot be told."""
    entries = []
    try:
        for path in folder.rglob("*"):
            status = path.stat()
            entries.append((str(path.relative_to(folder)), status.st_size, status.st_mtime_ns))
    except OSError:
        return ()  # Someone is removing or writing it.
    return tuple(sorted(entries))


def find_versions(folder: Path) -> dict[int, Path]:
    """Returns the numbered folders in a model's folder, by number."""
    try:
        found = [path for path in folder.iterdir() if re.fullmatch(r"[0-9]{1,18}", path.name)]
    except OSError:
        return {}
    return {int(path.name): path for path in found if path.is_dir()}


def wanted_versions(config: ModelConfig, found: Collection[int]) -> set[int]:
    """Returns the versions to serve.

    Args:
        config: The model.
        found: The versions that could be served.
    """
    chosen = config.versions or sorted(found)[-config.num_versions :]
    return {*chosen, *config.labels.values()} & set(found)
