"""The readers of a stored column: the surfaces that show it, and the code and the SQL that use it.

A name counts as a column if a module names the table's class and reads an attribute or a key of that name, or if an SQL
text names the table and the column. A command that takes a value from its input or stores it does not count as a
reader.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sqlmodel import SQLModel

from models.base import table_of
from models.migrations.tables import metadata
from resolvers.kernel.declarations.outputs import Output
from resolvers.kernel.reader.graph import Subtype
from rest_compat.http.routes import ROUTES
from rest_compat.http.table import From, Wire
from schema.bridge.fields import NODES
from schema.bridge.root import schema
from tests.architecture.source import PACKAGES, python_files, sql_files, tree

BY_THE_KERNEL = {"id", "workspace_id", "deleted_at", "version", "created_at", "updated_at"}
"""Keys, tenancy, soft deletion, If-Match, times: read for every table alike."""
OF_CALLERS = {"self", "cls", "data", "raw", "sent", "changes", "given", "values", "body"}
"""Names of variables that are not rows."""
WRITTEN = re.compile(r"INSERT\s+INTO\s+\w+\s*\([^)]*\)|\bSET\s+\w+\s*=|,\s*\w+\s*=(?!=)|EXCLUDED\.\w+", re.IGNORECASE)
BEGINS = re.compile(r"^CREATE OR REPLACE ", re.MULTILINE)
"""The beginning of a function or a trigger in a file of SQL."""
WORD = re.compile(r"\w+")


class Reading(NamedTuple):
    """The reads of one module: names of classes, columns by class, names of attributes, words of SQL."""

    classes: frozenset[str]
    owned: frozenset[tuple[str, str]]
    names: frozenset[str]
    texts: tuple[frozenset[str], ...]


@cache
def tables() -> dict[str, type[SQLModel]]:
    """Every class of a table, by its name."""
    metadata()
    found: dict[str, type[SQLModel]] = {}
    waiting: list[type[SQLModel]] = [SQLModel]
    while waiting:
        model = waiting.pop()
        waiting += model.__subclasses__()
        if hasattr(model, "__table__") and not model.__module__.startswith("tests."):
            found[model.__name__] = model
    return found


def reading(module: ast.Module) -> Reading:
    classes = {node.id for node in ast.walk(module) if isinstance(node, ast.Name)} & tables().keys()
    texts = [frozenset(WORD.findall(WRITTEN.sub(" ", text))) for text in _texts(module)]
    owned = {*_by_class(module), *_by_edges(module)}
    return Reading(frozenset(classes), frozenset(owned), frozenset(_by_rows(module)), tuple(texts))


def _by_class(module: ast.Module) -> Iterator[tuple[str, str]]:
    """`Crew.slug`."""
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in tables():
            yield node.value.id, node.attr


def _by_rows(module: ast.Module) -> Iterator[str]:
    """`crew.slug` and `row["slug"]`, where it is not stored."""
    for node in ast.walk(module):
        if not isinstance(node, ast.Attribute | ast.Subscript) or not isinstance(node.ctx, ast.Load):
            continue
        if isinstance(node.value, ast.Name) and node.value.id in OF_CALLERS | tables().keys():
            continue
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            yield node.slice.value


def _by_edges(module: ast.Module) -> Iterator[tuple[str, str]]:
    """`graph(Crew, …, agents=many(Agent, "crew_id"))`: of the graph's class, and of those that the edge names."""
    for node in ast.walk(module):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in GRAPHED:
            continue
        owners = [argument.id for argument in node.args[:1] if isinstance(argument, ast.Name)]
        for keyword in node.keywords:
            inner = list(ast.walk(keyword.value))
            named = owners + [part.id for part in inner if isinstance(part, ast.Name)]
            for part in inner:
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield from [(name, part.value) for name in named if name in tables()]


GRAPHED = ("graph", "extend")


def _texts(module: ast.Module) -> Iterator[str]:
    """Texts with blanks in them, f-strings whole; docstrings as well, which name no table and column together. Lists of
    what is shown are no texts.
    """
    parts: set[ast.AST] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            parts.update(_lists_of_fields(node))
        if isinstance(node, ast.JoinedStr):
            parts.update(node.values)
            yield " ".join([str(value.value) for value in node.values if isinstance(value, ast.Constant)])
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts and " " in node.value:
            yield node.value


def _lists_of_fields(shown: ast.ClassDef) -> Iterator[ast.AST]:
    """`fields = "id name"`: what a type or a wire model shows."""
    for statement in shown.body:
        if isinstance(statement, ast.Assign) and {"fields", "absent"} & {
            ast.unparse(name) for name in statement.targets
        }:
            yield statement.value


@cache
def readings() -> tuple[Reading, ...]:
    """The reads of all modules except migrations, which have run, and of all functions and triggers in SQL."""
    code = [reading(tree(path)) for path in python_files(*PACKAGES) if "versions" not in path.parts]
    standing = [path for path in sql_files() if "baseline" not in path.parts]
    texts = [frozenset(WORD.findall(text)) for path in standing for text in BEGINS.split(path.read_text())]
    return (*code, Reading(frozenset(), frozenset(), frozenset(), tuple(texts)))


def is_used(model: type[SQLModel], column: str, read: tuple[Reading, ...]) -> bool:
    """True if code or SQL uses the column."""
    table, name = table_of(model).name, model.__name__
    return any(
        (name, column) in one.owned
        or (name in one.classes and column in one.names)
        or any(table in words and column in words for words in one.texts)
        for one in read
    )


@cache
def shown() -> dict[str, set[str]]:
    """The columns in answers of REST or GraphQL, by the name of the class."""
    assert ROUTES  # with the models and types of all of them
    assert schema
    found: dict[str, set[str]] = {name: set() for name in tables()}
    for wire in _below(Wire):
        if wire.__of__ is not None and wire.__of__.__name__ in found:
            found[wire.__of__.__name__] |= set(_sources(wire))
    for target, types in NODES.items():
        model = target.model if isinstance(target, Subtype) else target
        if model.__name__ in found:
            found[model.__name__].update(*[cls.__annotations__ for cls in types])
    for output in _below(Output):
        for name in _classes_beside(output):
            found[name] |= set(output.model_fields)
    return found


def _below(cls: Any) -> Iterator[Any]:
    for child in cls.__subclasses__():
        if not child.__module__.startswith("tests."):
            yield child
        yield from _below(child)


def _sources(wire: type[Wire]) -> Iterator[str]:
    for name, info in wire.model_fields.items():
        yield next((mark.name for mark in info.metadata if isinstance(mark, From)), name)


def _classes_beside(output: type[Output]) -> Iterator[str]:
    """The tables that the module of an answer names."""
    path = Path(__file__).parents[2] / (output.__module__.replace(".", "/") + ".py")
    if path.is_file():
        yield from reading(tree(path)).classes
