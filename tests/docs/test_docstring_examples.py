"""The examples in docstrings run and print what they say, and every public name has one."""

import doctest
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import keras
import pytest

# Packages whose `__all__` lists what must have an example.
PACKAGES = (
    "data",
    "drop_in",
    "evaluation",
    "inference",
    "layers",
    "losses",
    "models",
    "optimizers",
    "samplers",
)


def public_objects():
    modules = [import_module(f"primer_tf.{package}") for package in PACKAGES]
    return {name: getattr(module, name) for module in modules for name in module.__all__}


def find_examples():
    """Returns the docstrings with examples by the name of what they belong to."""
    finder, found = doctest.DocTestFinder(), {}
    for package in ("primer_tf", "primer_tf.tasks", "primer_tf.export"):
        folder = Path(find_spec(package).origin).parent
        for path in sorted(folder.rglob("*.py")):
            if ">>>" in path.read_text(encoding="utf-8"):
                parts = path.relative_to(folder).with_suffix("").parts
                module = import_module(".".join((package, *parts)).removesuffix(".__init__"))
                # No names of the module: an example imports all that it uses.
                tests = finder.find(module, module.__name__, globs={})
                found |= {test.name: test for test in tests if test.examples}
    return found


EXAMPLES = find_examples()


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    keras.utils.set_random_seed(0)
    report = []
    result = doctest.DocTestRunner().run(EXAMPLES[name], out=report.append)
    assert result.failed == 0, "".join(report)


@pytest.mark.parametrize("name", public_objects())
def test_public_names_have_examples(name):
    value = public_objects()[name]
    assert f"{value.__module__}.{value.__qualname__}" in EXAMPLES
