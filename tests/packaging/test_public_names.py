"""The names of `primer_tf`, at run time and for editors that only read the source."""

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import primer_tf

PACKAGE = Path(primer_tf.__file__).parent
NOT_PUBLIC = {"cli"}


def names_for_editors():
    """Returns the names that `__init__.py` imports only for type checkers."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING"
    ]
    return {alias.asname or alias.name for node in block.body for alias in node.names}


def test_every_name_resolves():
    for name in primer_tf.__all__:
        value = getattr(primer_tf, name)
        module = getattr(value, "__module__", value.__name__)
        assert module.startswith("primer_tf"), name
    assert primer_tf.__all__ == sorted(set(primer_tf.__all__))


def test_editors_see_every_name():
    assert names_for_editors() == set(primer_tf.__all__) - {"gin_directory"}
    assert (PACKAGE / "py.typed").is_file()


def test_every_package_is_public():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} | {"tasks", "export"}
    assert folders - NOT_PUBLIC == {name for name in primer_tf.__all__ if name in folders}


def test_completion_and_wrong_names():
    assert set(primer_tf.__all__) | {"__version__"} <= set(dir(primer_tf))
    assert not hasattr(primer_tf, "PrimerBackbones")


def test_the_checkout_is_not_part_of_the_package():
    for name in ("benchmarks", "tests", "docs", "setup"):
        assert find_spec(f"primer_tf.{name}") is None, name
    checkout = Path(__file__).parents[2]
    for name in ("tasks", "export"):
        assert find_spec(f"primer_tf.{name}").origin == str(checkout / name / "__init__.py")


def test_listing_names_imports_nothing_heavy():
    code = (
        "import sys, primer_tf\n"
        "dir(primer_tf), primer_tf.__all__, primer_tf.__version__, primer_tf.gin_directory()\n"
        "primer_tf.gin_config, primer_tf.tasks, primer_tf.mesh, primer_tf.convert\n"
        "print({'tensorflow', 'keras', 'jax', 'torch', 'numpy', 'typing_extensions'}"
        " & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
