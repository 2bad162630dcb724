"""constraints.txt locks every package in the environment of the tests."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


def locked():
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pairs = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines if line[:1] != "#"]
    return {canonicalize_name(pair[1]): pair[2] for pair in pairs}


def installed(requirements):
    """Returns the versions of a list of requirements and of all their dependencies."""
    versions, todo = {}, [Requirement(requirement) for requirement in requirements]
    while todo:
        requirement = todo.pop()
        extras = requirement.extras or {""}
        name = canonicalize_name(requirement.name)
        if (name, *extras) in versions:
            continue
        distribution = metadata.distribution(name)
        versions[(name, *extras)] = distribution.version
        for line in distribution.requires or []:
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                todo.append(needed)
    return {name: version for (name, *_), version in versions.items()}


def test_everything_is_locked_at_the_version_tested():
    lock = locked()
    extras = "demo,dev,eval,search,serve,studies,t5"
    actual = installed([f"primer_tf[{extras}]", "pip", "setuptools"])
    actual["t5"] = metadata.version("t5")  # on purpose without its dependencies
    del actual["primer-tf"]
    assert actual.keys() <= lock.keys()
    for name, version in actual.items():
        # PyTorch's version has a suffix for the platform.
        assert Version(version).public == Version(lock[name]).public, name
    assert len(actual) > 80


def test_the_tools_for_the_pages_are_locked():
    """They have their own environment, so only direct dependencies are known here."""
    pyproject = tomllib.loads((CONSTRAINTS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    lock = locked()
    for requirement in map(Requirement, pyproject["dependency-groups"]["docs"]):
        assert requirement.specifier.contains(lock[canonicalize_name(requirement.name)])
