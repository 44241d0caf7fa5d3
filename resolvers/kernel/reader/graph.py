"""The graph: what can be read from a row beyond its columns, declared once per model, beside its operations."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import Text, case, func, literal_column, null, select, true
from sqlmodel import SQLModel

from models.base import TenantRow, alias_of, table_of
from models.people.workspaces import Role
from resolvers.kernel.ground.constants import constant
from resolvers.kernel.ground.inputs import Input, accepts_none
from resolvers.kernel.ground.policy import GATES, MEMBERS, Action
from resolvers.kernel.ground.scopes import SCOPES, Scopes
from resolvers.kernel.reader.rows import View, columns_of, only_readable

On = Callable[[Any, Any], Any]
ONE: Any = literal_column("1")
MILLISECONDS: Any = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'""")
UTC: Any = literal_column("'UTC'")
Visible = Callable[[Any, Any], Any]
"""`(row, scope) -> condition`: whether the caller may see a row. What it does not hold for is, to that caller, not
there.
"""
EVERYONE: Visible = lambda row, scope: true()  # noqa: E731
"""Every caller who may read the model sees every row of the workspace."""


@dataclass(frozen=True, eq=False)
class Subtype:
    """Some rows of a table with a type of their own in the schema: an edge that names it leads only to these rows. The
    model's graph declares their readers and edges.
    """

    model: type[SQLModel]
    name: str
    where: tuple[Any, ...]


Target = type[SQLModel] | Subtype


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
    source: Callable[[Any, Any], Any] | None = None
    """For rows of a View: `(row, scope) -> select`."""
    subtype: Subtype | None = None
    ahead: Callable[[Any, Any], tuple[Any, ...]] | None = None
    """Keys ahead of the order, of the row that the edge hangs on: `(row, scope) -> keys`."""

    @property
    def shown(self) -> Target:
        """The target for which the schema has a type."""
        return self.subtype or self.target


@dataclass(frozen=True, eq=False)
class Written(Edge):
    """Rows beside an answer that is no row, which the command has changed. `key`: what names them in the answer."""

    key: str | None = None


@dataclass(frozen=True, eq=False)
class Either:
    """The row of one of several kinds: the column `by` names the member, each of which is an edge of its own.

    `guarded`: a row whose gate the caller does not pass is null; otherwise the whole answer is refused.
    """

    by: str
    members: Mapping[str, Edge]
    guarded: bool = False


@dataclass(frozen=True, eq=False)
class Derived:
    """A value computed by SQL from the row: `expression(columns, scope)`. `type` is the type that clients see;
    `parent`, the row whose column it is, and `key`, which names the parent: without a key the value is null.

    Without a parent the rows that it reads are unknown: an answer with such a value is read after the rows of the
    command are written.
    """

    type: Any
    expression: Callable[[Any, Any], Any]
    parent: type[SQLModel] | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """Access to the rows of a model, on every path: the action that its edges require, the scopes that a token needs
    for them, and which rows are visible.
    """

    gate: Action
    scopes: Scopes
    visible: Visible


Entry = Edge | Either | Derived
GRAPHS: dict[Any, dict[str, Entry]] = {}
"""The entries of each model. An Output has edges, too: to rows that its command has changed."""
ACCESS: dict[type[SQLModel], Access] = {}
CONFIDENTIAL: dict[type[SQLModel], dict[str, Action]] = {}
"""Columns that are null for callers who may not perform this action in the row's workspace."""
SHOWN: dict[type[SQLModel], dict[str, Callable[[Any, Any], Any]]] = {}
"""Columns that not everybody sees who sees the row: what is read instead."""


def _of(target: Target) -> tuple[type[SQLModel], tuple[Any, ...], Subtype | None]:
    return (target.model, target.where, target) if isinstance(target, Subtype) else (target, (), None)


def many(
    target: Target,
    key: str | None = None,
    *,
    on: On | None = None,
    order_by: Any = (),
    where: tuple[Any, ...] = (),
    narrow: Callable[[Any, Any], Any] | None = None,
    input: type[Input] | None = None,
    requires: Action | None = None,
    through: type[TenantRow] | None = None,
    other_key: str | None = None,
    ahead: Callable[[Any, Any], tuple[Any, ...]] | None = None,
) -> Edge:
    """The rows whose `key` column names this row; with `through` a third table, the rows that its `other_key` names
    beside this row in its `key`.
    """
    order = order_by if isinstance(order_by, tuple) else (order_by,)
    model, own, subtype = _of(target)
    on = on or (_by_target(model, key) if through is None else _by_link(through, key, other_key))
    return Edge("many", model, on, order, narrow, input, requires, (*own, *where), subtype=subtype, ahead=ahead)


def reads(target: type[View], source: Callable[[Any, Any], Any], *, order_by: Any = ()) -> Edge:
    """The rows of a report of this row: `source(row, scope)` is its statement, whose columns are the fields of the
    View.
    """
    order = order_by if isinstance(order_by, tuple) else (order_by,)
    return Edge("many", target, lambda row, other: true(), order, source=source)


def sums_up(target: type[View], source: Callable[[Any, Any], Any]) -> Edge:
    """A report of this row that is one row: `source(row, scope)` is its statement, which may have none."""
    return Edge("one", target, lambda row, other: true(), source=source)


def one(target: Target, key: str | None = None, *, on: On | None = None, requires: Action | None = None) -> Edge:
    """The row that this row's `key` column names."""
    model, own, subtype = _of(target)
    return Edge("one", model, on or _by_source(key), requires=requires, where=own, subtype=subtype)


def written(target: Target, key: str | None = None, *, several: bool = False, order_by: Any = ()) -> Edge:
    """The row of `target` that a command has changed, for the graph of its Output: the row that the field or property
    `key` names, or that the command says (`ctx.shows`), or that its audit row names. `several`: all of them.
    """
    model, own, subtype = _of(target)
    order = order_by if isinstance(order_by, tuple) else (order_by,)
    kind = "many" if several else "one"
    return Written(kind, model, lambda row, other: true(), order, where=own, subtype=subtype, key=key)


def either(by: str, members: Mapping[str, Edge], *, guarded: bool = False) -> Either:
    """The row of the member that the column `by` selects. None if it selects no member, or the caller sees no
    such row.

    `guarded`: the gates of members are judged row by row, for lists that have rows of several gates.
    """
    if not members or any(edge.kind != "one" or not name.isidentifier() for name, edge in members.items()):
        raise TypeError(f"{by}: it chooses from edges to one row each, by plain names")
    return Either(by, {str(name): edge for name, edge in members.items()}, guarded)


def count(
    target: Target,
    key: str | None = None,
    *,
    on: On | None = None,
    where: tuple[Any, ...] = (),
    requires: Action | None = None,
) -> Edge:
    """The number of rows whose `key` column names this row."""
    model, own, subtype = _of(target)
    return Edge("count", model, on or _by_target(model, key), requires=requires, where=(*own, *where), subtype=subtype)


def derived(type: Any, expression: Callable[[Any, Any], Any]) -> Derived:
    return Derived(type, expression)


def precise(column: str) -> Derived:
    """A time of the row to the millisecond: as a column it is shown to the second."""
    return Derived(str, lambda row, _: func.to_char(func.timezone(UTC, row[column]), MILLISECONDS, type_=Text()))


def closed(kind: type[Enum], column: str) -> Derived:
    """A text column as a value of a closed set, which GraphQL shows as an enum: null for any other text, which REST can
    store.
    """
    values = [constant(value.value) for value in kind]
    return Derived(kind | None, lambda row, _: case((row[column].in_(values), row[column]), else_=null()))


def of_parent(target: type[TenantRow], key: str, column: str) -> Derived:
    """A column of the row that `key` names, of a deleted one too: a text, such as the name of who did it."""
    if column not in columns_of(target):
        raise TypeError(f"{target.__name__} has no column {column}")
    return Derived(str, lambda row, scope: scope.parent(target, row, key, column), target, key)


def named(prefix: str, target: type[TenantRow], key: str) -> dict[str, Derived]:
    """`<prefix>_name` and `<prefix>_slug` of the row that `key` names: for lists that are read without their edges."""
    return {f"{prefix}_{column}": of_parent(target, key, column) for column in ("name", "slug")}


def value_type(model: type[SQLModel], name: str) -> Any:
    """The Python type of a column, of a derived value or of a count."""
    entry = GRAPHS.get(model, {}).get(name)
    if isinstance(entry, Derived):
        keyless = entry.key is not None and accepts_none(model.model_fields[entry.key].annotation)
        return entry.type | None if keyless else entry.type
    if isinstance(entry, Edge) and entry.kind == "count":
        return int
    info = model.model_fields.get(name)
    if entry is not None or info is None:
        raise TypeError(f"{model.__name__} has no value {name}")
    return info.annotation


def graph(model: type[SQLModel], *, gate: Action, scope: str | Scopes, visible: Visible, **entries: Entry) -> None:
    """Declares who reads the rows of `model` and their edges: once, for every path to them.

    `gate`: the action that reading them requires; an edge may require more. `scope`: the scopes that a token needs,
    OPEN for none; None if no token with scopes may read them. `visible`: the rows that a caller may see, on every path.
    """
    if model in ACCESS:
        raise TypeError(f"{model.__name__} has a graph already; extend() adds to it")
    ACCESS[model] = Access(gate, frozenset({scope}) if isinstance(scope, str) else scope, visible)
    extend(model, **entries)


def extend(model: Any, **entries: Entry) -> None:
    """Adds entries to the graph of `model`: a later domain declares the edges to its rows here. From an Output only
    `written` edges lead on.
    """
    known = GRAPHS.setdefault(model, {})
    columns = columns_of(model) if issubclass(model, SQLModel) else model.model_fields
    for name, entry in entries.items():
        if name in known or name in columns:
            raise TypeError(f"{model.__name__}.{name} is declared already")
        if isinstance(entry, Written) is issubclass(model, SQLModel):
            raise TypeError(f"{model.__name__}.{name}: `written` edges lead from Outputs, and no others do")
        if isinstance(entry, Either) and entry.by not in columns:
            raise TypeError(f"{model.__name__}.{name}: there is no column {entry.by}")
        for edge in edges_in(entry):
            if issubclass(edge.target, TenantRow) and not _has_workspace(model):
                raise TypeError(f"{model.__name__}.{name}: no edge leads from a row of no workspace to rows of one")
            only_readable(*edge.where, *edge.order_by)
        known[name] = entry


def edges_in(entry: Entry | None) -> Iterator[Edge]:
    """The edges that an entry of a graph stands for: one, several to choose from, or none."""
    if isinstance(entry, Either):
        yield from entry.members.values()
    elif isinstance(entry, Edge):
        yield entry


def confidential(model: type[SQLModel], action: Action, *columns: str) -> None:
    """Declares columns that may hold secrets: read as null, on every path to the row, by those who may not do `action`
    in its workspace.
    """
    for name in columns:
        if name not in columns_of(model) or not table_of(model).c[name].nullable:
            raise TypeError(f"{model.__name__}.{name} cannot be null")
        CONFIDENTIAL.setdefault(model, {})[name] = action


def shown_as(model: type[SQLModel], **columns: Callable[[Any, Any], Any]) -> None:
    """Declares a replacement for a column of the rows, on every path to them: `(row, scope) -> expression`."""
    SHOWN.setdefault(model, {}).update(columns)


def access_of(model: type[SQLModel]) -> Access:
    try:
        return ACCESS[model]
    except KeyError:
        raise TypeError(f"{model.__name__} has no graph: nothing says who reads its rows") from None


def visible_of(model: type[SQLModel]) -> Visible | None:
    """The condition on visible rows of the model; None if every row is visible, or if no graph leads to the model."""
    access = ACCESS.get(model)
    return None if access is None or access.visible is EVERYONE else access.visible


def roles_of_edge(edge: Edge) -> frozenset[Role]:
    """The roles that may follow an edge: they may read its target and perform the action that the edge requires."""
    return frozenset.intersection(*[GATES[action] for action in gates_of_edge(edge)])


def roles_of_entry(entry: Entry | None) -> frozenset[Role]:
    """The roles that may follow an entry of a graph. A guarded union needs none: its gates are judged row by row."""
    if isinstance(entry, Either) and entry.guarded:
        return MEMBERS
    return MEMBERS.intersection(*[roles_of_edge(edge) for edge in edges_in(entry)])


def is_refusable(model: type[SQLModel], entry: Entry | None) -> bool:
    """Returns true if a caller who may read a row of the model may lack the role for this entry of its graph: it is
    null then, and the row is shown.
    """
    if not issubclass(model, SQLModel) or not all(edge.target in ACCESS for edge in edges_in(entry)):
        return False
    readers = GATES[ACCESS[model].gate] if model in ACCESS else MEMBERS
    return not readers <= roles_of_entry(entry)


def gates_of_edge(edge: Edge) -> tuple[Action, ...]:
    """The actions that a caller must be allowed to follow an edge."""
    gate = access_of(edge.target).gate
    return (gate,) if edge.requires is None else (gate, edge.requires)


def check_graphs(answered: Iterable[type[SQLModel]]) -> None:
    """Checks at the start, when all domains are loaded, that every model in an answer or an edge has a graph. The
    access to a View is that of its operation.
    """
    for model in (*answered, *GRAPHS):
        if issubclass(model, SQLModel) and not issubclass(model, View):
            access_of(model)
    for model, access in ACCESS.items():
        if unknown := (access.scopes or frozenset()) - SCOPES.keys():
            raise TypeError(f"{model.__name__}: there is no scope {min(unknown)}")
    for model, entries in GRAPHS.items():
        for name, entry in entries.items():
            for edge in edges_in(entry):
                if edge.target not in ACCESS:
                    raise TypeError(
                        f"{model.__name__}.{name} leads to {edge.target.__name__}, which has no graph: nothing says who"
                        " reads its rows"
                    )


def _has_workspace(model: type[SQLModel]) -> bool:
    if not issubclass(model, SQLModel):
        return True
    return issubclass(model, (TenantRow, View)) or getattr(model, "__tablename__", "") == "workspaces"


def _by_target(target: type[SQLModel], key: str | None) -> On:
    if key is None or key not in columns_of(target):
        raise TypeError(f"{target.__name__} has no column {key}")
    return lambda row, other: other[key] == row["id"]


def _by_link(link: type[TenantRow], key: str | None, other_key: str | None) -> On:
    if key is None or other_key is None or not {key, other_key} <= {*columns_of(link)}:
        raise TypeError(f"{link.__name__} has no column {key}, or no {other_key}")

    def linked(row: Any, other: Any) -> Any:
        ties = alias_of(link)
        found = [ties.c.workspace_id == row["workspace_id"], ties.c[key] == row["id"], ties.c[other_key] == other["id"]]
        return select(ONE).select_from(ties).where(*found).correlate(row["id"].table, other["id"].table).exists()

    return linked


def _by_source(key: str | None) -> On:
    if key is None:
        raise TypeError("an edge needs a key or a condition")
    return lambda row, other: other["id"] == row[key]
