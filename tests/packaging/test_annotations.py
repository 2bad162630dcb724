"""Every public function and method has annotations for its parameters and for what it returns."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import primer_tf

PACKAGE = Path(primer_tf.__file__).parent
CHECKOUT = Path(__file__).parents[2]
# Mesh TensorFlow's layers take what gin gives them.
BY_GIN = PACKAGE / "mesh" / "layers"
MODULES = sorted(
    path
    for folder in (PACKAGE, CHECKOUT / "tasks", CHECKOUT / "export")
    for path in folder.rglob("*.py")
    if BY_GIN not in path.parents
)


def public_functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yields the public functions of a module, and the methods of its public classes, by name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from public_functions(child, f"{child.name}.")
        is_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
        if is_function and (not child.name.startswith("_") or child.name == "__init__"):
            yield prefix + child.name, child


def missing(function: ast.FunctionDef, is_method: bool) -> list[str]:
    """Returns the parameters without annotation, and `"return"` if the return has none."""
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    if is_method and not any(
        getattr(d, "id", "") == "staticmethod" for d in function.decorator_list
    ):
        positional = positional[1:]
    variadic = [each for each in (given.vararg, given.kwarg) if each is not None]
    parameters = [*positional, *given.kwonlyargs, *variadic]
    names = [parameter.arg for parameter in parameters if parameter.annotation is None]
    return names if function.returns is not None else [*names, "return"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_annotations_are_complete(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = public_functions(tree)
    assert [(name, lack) for name, each in functions if (lack := missing(each, "." in name))] == []


def test_what_is_found():
    tree = ast.parse(
        "def f(a: int, b, *c, d: int, **e: int): ...\n"
        "class C:\n"
        "    def __init__(self, a) -> None: ...\n"
        "    def m(self, a: int) -> int: ...\n"
        "    @staticmethod\n"
        "    def s(a) -> int: ...\n"
        "    def _p(self, a): ...\n"
        "class _P:\n"
        "    def m(self, a): ...\n"
    )
    found = {name: missing(each, "." in name) for name, each in public_functions(tree)}
    assert found == {"f": ["b", "c", "return"], "C.__init__": ["a"], "C.m": [], "C.s": ["a"]}
