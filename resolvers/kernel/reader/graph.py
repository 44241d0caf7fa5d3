"""What can be read from a row beyond its columns: declared once a model, beside its operations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlmodel import SQLModel

from models.base import TenantRow, table_of
from resolvers.kernel.inputs import Input
from resolvers.kernel.policy import Action
from resolvers.kernel.reader.rows import View, columns_of

On = Callable[[Any, Any], Any]


@dataclass(frozen=True, eq=False)
class Edge:
    """Rows of another table. The builder adds the workspace and the live filter: an edge cannot loosen anything."""

    kind: str  # many | one | count
    target: type[SQLModel]
    on: On
    order_by: tuple[Any, ...] = ()
    narrow: Callable[[Any, Any], Any] | None = None
    input: type[Input] | None = None
    requires: Action | None = None
    where: tuple[Any, ...] = ()


@dataclass(frozen=True, eq=False)
class Derived:
    """A value computed by SQL from the row: `expression(columns, scope)`. `type` is what a client gets."""

    type: Any
    expression: Callable[[Any, Any], Any]


GRAPHS: dict[type[SQLModel], dict[str, Edge | Derived]] = {}
READ_GATES: dict[type[SQLModel], Action] = {}
"""The gate of each model's own read operation, which its edges inherit; filled as queries are declared."""
READ_SCOPES: dict[type[SQLModel], frozenset[str]] = {}
"""And the scopes that a token needs for it."""
CONFIDENTIAL: dict[type[SQLModel], dict[str, Action]] = {}
"""Columns that are null to whoever may not do this in the row's workspace."""


def many(
    target: type[SQLModel],
    key: str | None = None,
    *,
    on: On | None = None,
    order_by: Any = (),
    where: tuple[Any, ...] = (),
    narrow: Callable[[Any, Any], Any] | None = None,
    input: type[Input] | None = None,
    requires: Action | None = None,
) -> Edge:
    """The rows whose `key` column names this row."""
    order = order_by if isinstance(order_by, tuple) else (order_by,)
    return Edge("many", target, on or _by_target(target, key), order, narrow, input, requires, where)


def one(target: type[SQLModel], key: str | None = None, *, on: On | None = None, requires: Action | None = None) -> Edge:
    """The row that this row's `key` column names."""
    return Edge("one", target, on or _by_source(key), requires=requires)


def count(target: type[SQLModel], key: str | None = None, *, on: On | None = None, where: tuple[Any, ...] = (), requires: Action | None = None) -> Edge:
    """How many rows name this row in their `key` column."""
    return Edge("count", target, on or _by_target(target, key), requires=requires, where=where)


def derived(type: Any, expression: Callable[[Any, Any], Any]) -> Derived:
    return Derived(type, expression)


def graph(model: type[SQLModel], **entries: Edge | Derived) -> dict[str, Edge | Derived]:
    """Declares what can be read from `model`. A second call adds to the first: a later domain may hang its rows here."""
    known = GRAPHS.setdefault(model, {})
    for name, entry in entries.items():
        if name in known or name in columns_of(model):
            raise TypeError(f"{model.__name__}.{name} is declared already")
        if isinstance(entry, Edge) and issubclass(entry.target, TenantRow) and not _has_workspace(model):
            raise TypeError(f"{model.__name__}.{name}: no edge leads from a row of no workspace to rows of one")
        known[name] = entry
    return known


def confidential(model: type[SQLModel], action: Action, *columns: str) -> None:
    """Declares columns that may hold secrets: read as null, on every path to the row, by those who may not do `action` in its workspace."""
    for name in columns:
        if name not in columns_of(model) or not table_of(model).c[name].nullable:
            raise TypeError(f"{model.__name__}.{name} cannot be null")
        CONFIDENTIAL.setdefault(model, {})[name] = action


def gate_of(edge: Edge) -> Action:
    """The action an edge needs: its own, else that of its target's read operation."""
    return edge.requires or READ_GATES.get(edge.target, Action.READ)


def _has_workspace(model: type[SQLModel]) -> bool:
    return issubclass(model, (TenantRow, View)) or getattr(model, "__tablename__", "") == "workspaces"


def _by_target(target: type[SQLModel], key: str | None) -> On:
    if key is None or key not in columns_of(target):
        raise TypeError(f"{target.__name__} has no column {key}")
    return lambda row, other: other[key] == row["id"]


def _by_source(key: str | None) -> On:
    if key is None:
        raise TypeError("an edge needs a key or a condition")
    return lambda row, other: other["id"] == row[key]
