"""Every edge of the graph x every role, on data that a foreign tenant has tied to ours: it shows our rows only, and
only to whom it may.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from graphql import GraphQLObjectType, GraphQLUnionType, get_named_type

from models.base import TenantRow, table_of
from models.people.workspaces import Role
from resolvers.kernel.admission.gate import Entity
from resolvers.kernel.declarations.operation import Auth, Operation
from resolvers.kernel.declarations.query import Query
from resolvers.kernel.ground.policy import GATES, Action
from resolvers.kernel.reader import GRAPHS, Edge, Either, edges_in
from resolvers.kernel.reader.graph import access_of
from schema.bridge.selection import BACKREF
from tests.every import each_of
from tests.generation.estate import Estate
from tests.generation.inputs import valid
from tests.generation.registry import SCHEMA, graphql_fields, operations
from tests.generation.selection import leaves, required_arguments
from tests.tenant.test_ids import away_ids, mentioned

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
FRAGMENT = "... on "


@dataclass(frozen=True)
class Path:
    """From a root field to an edge: the names on the way, and the edges walked. `unasked`: the members of unions that
    no fragment is on. `guarded`: members of unions whose gates refuse no answer.
    """

    operation: Operation[Any]
    names: tuple[str, ...]
    edges: tuple[Edge, ...]
    type: Any
    model: Any
    unasked: tuple[Edge, ...] = ()
    guarded: tuple[Edge, ...] = ()

    @property
    def selection(self) -> str:
        text = _only_leaves(self.type)
        for name in reversed(self.names):
            text = f"{{ {name} {text} }}"
        return text

    @property
    def roles(self) -> set[Role]:
        """The roles that pass every gate on the way."""
        allowed = set(GATES[self.operation.action])
        for edge in (edge for edge in (*self.edges, *self.unasked) if edge not in self.guarded):
            allowed &= GATES[access_of(edge.target).gate] & (GATES[edge.requires] if edge.requires else allowed)
        return allowed


def _only_leaves(type_: Any) -> str:
    return leaves(type_, ("",) * 9)


def paths() -> Iterator[Path]:
    """The shortest way to every edge that GraphQL shows."""
    seen: set[tuple[str, str]] = set()
    waiting = []
    for op in operations():
        if isinstance(op, Query) and op.auth is Auth.USER and op.name in graphql_fields():
            definition = graphql_fields()[op.name][0][2]
            names, named = _rows(definition.type)
            waiting.append(Path(op, names, (), named, op.model))
    while waiting:
        path = waiting.pop(0)
        for name, definition in path.type.fields.items():
            python = definition.extensions[BACKREF].python_name if BACKREF in definition.extensions else None
            entry = GRAPHS.get(path.model, {}).get(python or "")
            if (path.type.name, name) in seen or required_arguments(definition) or not [*edges_in(entry)]:
                continue
            if isinstance(entry, Either) and not path.operation.form.many:  # type: ignore[attr-defined]
                continue  # one row has one of the members alone
            seen.add((path.type.name, name))
            for made in _further(path, name, definition.type, entry):
                yield made
                if isinstance(made.type, GraphQLObjectType):
                    waiting.append(made)


def _further(path: Path, name: str, type_: Any, entry: Any) -> Iterator[Path]:
    """The targets of an entry of the graph: for a union, each member by a fragment on its type."""
    further, named = _rows(type_)
    for place, edge in enumerate(edges_in(entry)):
        steps, kind = (*path.names, name, *further), named
        if isinstance(named, GraphQLUnionType):
            kind = named.types[place]
            steps = (*steps, f"{FRAGMENT}{kind.name}")
        unasked = tuple(other for other in edges_in(entry) if other is not edge)
        guarded = tuple(edges_in(entry)) if getattr(entry, "guarded", False) else ()
        yield Path(
            path.operation,
            steps,
            (*path.edges, edge),
            kind,
            edge.target,
            (*path.unasked, *unasked),
            (*path.guarded, *guarded),
        )


def _rows(type_: Any) -> tuple[tuple[str, ...], Any]:
    """The fields between a field and its rows."""
    named: Any = get_named_type(type_)
    if isinstance(named, GraphQLObjectType) and named.name.endswith("Connection"):
        return ("nodes",), get_named_type(named.fields["nodes"].type)
    return (), named


PATHS = list(paths())
WHO = [*(role.value.lower() for role in Role), "outsider", "nobody"]


@pytest.fixture(scope="module")
async def tied(estate: Estate, lock: str) -> Estate:
    """The other tenant's rows name ours, wherever they name a row: what foreign keys forbid, done past them."""
    ours = {
        str(row.id): str(estate.home[key].id)
        for key, row in estate.away.rows.items()
        if key != "workspace" and hasattr(row, "id")
    }
    for row in estate.away.rows.values():
        if not isinstance(row, TenantRow):
            continue
        table = table_of(type(row))
        known = [key.name for key in table.primary_key if key.name in row.__dict__]  # the database draws the rest
        itself = " AND ".join(f"{name} = '{row.__dict__[name]}'" for name in known)
        for column in table.c.keys():  # noqa: SIM118
            target = ours.get(str(row.__dict__.get(column)))
            if column not in table.primary_key and target is not None:
                try:
                    await estate.recorder.without_rules(f"UPDATE {table.name} SET {column} = '{target}' WHERE {itself}")
                except asyncpg.UniqueViolationError:
                    continue  # a place that only one row can take, and ours has it
    return estate


@each_of("path", PATHS, ids=lambda path: f"{path.operation.name}:{'.'.join(path.names)}")
async def test_an_edge_leads_to_own_rows_only(path: Path, tied: Estate) -> None:
    raw = valid(path.operation, tied)
    for who in WHO:
        outcome = await tied.call("graphql", path.operation, raw, tied.person(who), selection=path.selection)
        if who in ("outsider", "nobody"):
            if isinstance(path.operation.tenancy, Entity) and path.operation.tenancy.lenient:
                assert not mentioned(
                    outcome.body, {str(row.id) for row in tied.home.rows.values() if hasattr(row, "id")}
                ), f"{who}: {outcome}"
            elif path.operation.action not in (Action.NONE, Action.SELF):
                assert outcome.code in ("FORBIDDEN", "NOT_FOUND"), f"{who}: {outcome}"
            continue
        assert outcome.code == (None if Role(who.upper()) in path.roles else "FORBIDDEN"), f"{who}: {outcome}"
        assert not mentioned(outcome.body, away_ids(tied)), f"{who}: {outcome}"


async def test_the_rows_are_tied(tied: Estate) -> None:
    """The data of the case above is what it says: a row of theirs names a row of ours."""
    sql = "SELECT count(*) FROM crew_connections WHERE workspace_id = $1 AND from_crew_id = $2"
    assert await tied.world.database.fetchval(sql, tied.away.workspace.id, tied.home["crew"].id)


def test_every_edge_that_graphql_shows_has_a_case() -> None:
    """None hides behind an argument that must be given, or a type that no read answers with. Answers of commands lead
    to the rows that those changed: tests/generation/test_changed_rows.py.
    """
    walked = {id(edge) for path in PATHS for edge in path.edges}
    models = {path.model for path in PATHS} | {
        op.model for op in operations() if op.name in graphql_fields() and op.kind != "command"
    }
    hidden = []
    for model in models:
        types = [
            t
            for t in SCHEMA.type_map.values()
            if isinstance(t, GraphQLObjectType) and t.name == getattr(model, "__name__", None)
        ]
        for name, entry in GRAPHS.get(model, {}).items():
            shown = any(
                f.extensions[BACKREF].python_name == name
                for t in types
                for f in t.fields.values()
                if BACKREF in f.extensions
            )
            if shown and any(id(edge) not in walked for edge in edges_in(entry)):
                hidden.append(f"{model.__name__}.{name}")
    assert hidden == []
