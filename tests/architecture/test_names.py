"""A class has a name of its own in its layer: a search for it finds one definition."""

import ast
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGES, ROOT, name_of, python_files, tree


def twice(modules: dict[str, ast.Module]) -> dict[str, list[str]]:
    """Names of classes that several modules define, and where. Nested classes do not count."""
    found: dict[str, list[str]] = {}
    for where, module in modules.items():
        for statement in module.body:
            if isinstance(statement, ast.ClassDef):
                found.setdefault(statement.name, []).append(f"{where}:{statement.lineno}")
    return {name: places for name, places in sorted(found.items()) if len(places) > 1}


@pytest.mark.parametrize("layer", PACKAGES)
def test_a_layer_has_no_class_name_twice(layer: str) -> None:
    modules = {name_of(path): tree(path) for path in python_files(layer)}
    assert modules
    assert twice(modules) == {}


def test_a_name_that_two_modules_define_is_found() -> None:
    one = "class Asked: ...\nclass Other:\n    class Inner: ..."
    two = "def made():\n    class Other: ...\nclass Inner: ...\nclass Asked: ..."
    assert twice({"one.py": ast.parse(one), "two.py": ast.parse(two)}) == {"Asked": ["one.py:1", "two.py:4"]}


def test_the_layers_are_where_the_code_is() -> None:
    assert {Path(name).parts[0] for name in map(name_of, python_files(*PACKAGES))} == set(PACKAGES)
    assert all((ROOT / layer).is_dir() for layer in PACKAGES)
