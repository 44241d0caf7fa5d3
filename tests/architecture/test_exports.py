"""A name is imported from the module that defines it, or from its package; a package exports only imported names."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGES, name_of, nodes, python_files, tree
from tests.every import for_every

pytestmark = pytest.mark.thorough

FREE = python_files("resolvers", "runtime")  # mypy does not ask here which names a module exports
INITS = [path for path in FREE if path.name == "__init__.py"]


def module_of(path: Path) -> str:
    return name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def defined_in(body: list[ast.stmt]) -> Iterator[str]:
    """The names that the statements of a module define. An import counts as `from a import b as b`."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.name for alias in node.names if alias.asname == alias.name)
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            yield from defined_in([*node.body, *getattr(node, "orelse", []), *getattr(node, "handlers", [])])
        else:
            yield from (p.id for p in ast.walk(node) if isinstance(p, ast.Name) and isinstance(p.ctx, ast.Store))


def taken_by(path: Path) -> Iterator[tuple[str, str]]:
    """Modules, and the names that a file takes from them: by an import, or as an attribute of the module."""
    modules = dict[str, str]()
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                yield node.module, alias.name
                modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in nodes(path):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield modules[node.value.id], node.attr


@cache
def defined() -> dict[str, set[str]]:
    return {module_of(path): {*defined_in(tree(path).body)} for path in FREE if path.name != "__init__.py"}


@cache
def taken() -> set[tuple[str, str]]:
    return {use for path in python_files() for use in taken_by(path)}


@for_every(python_files(*PACKAGES), ids=name_of)
def test_a_name_is_imported_from_where_it_is_defined(path: Path) -> None:
    imports = [n for n in nodes(path) if isinstance(n, ast.ImportFrom) and n.module in defined()]
    found = {(node.module, alias.name) for node in imports for alias in node.names}
    assert {(module, name) for module, name in found if name not in defined()[module or ""]} == set()


@for_every(INITS, ids=name_of)
def test_a_package_exports_what_somebody_imports(path: Path) -> None:
    body = tree(path).body
    exported = {a.asname or a.name for node in body if isinstance(node, ast.ImportFrom) for a in node.names}
    used = {part.id for node in body for part in ast.walk(node) if isinstance(part, ast.Name)}
    assert {name for name in exported - used if (module_of(path), name) not in taken()} == set()
