"""Who reads a model's rows is said once, where its graph is; nothing is read from names or order of declarations."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import literal, select
from sqlmodel import col

from crewship.process.app import create_app
from models.people.auth import CliToken
from models.people.workspaces import Membership, Role, Workspace
from models.work.issues import IssueRelation
from models.work.labels import Label
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.declarations.outputs import Deleted
from resolvers.kernel.declarations.query import QueryScope, query
from resolvers.kernel.ground.inputs import ById, NoInput
from resolvers.kernel.ground.policy import GATES, Action
from resolvers.kernel.ground.scopes import OPEN, SCOPES, check
from resolvers.kernel.reader import (
    EVERYONE,
    GRAPHS,
    Column,
    Nested,
    Row,
    Rows,
    Shape,
    View,
    extend,
    graph,
    intern,
    many,
    reads,
    roles_of,
    scopes_of,
)
from resolvers.kernel.reader.graph import ACCESS, check_graphs, is_refusable
from tests.world import settings_for


class Sum(View):
    number: int


IDS = Shape((Column("id", "id"),), "list")
ROW = intern(Shape((Nested("extra", "extra", IDS),)))


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """What a test declares is gone behind it."""
    declared: tuple[dict[Any, Any], ...] = (ACCESS, OPERATIONS, GRAPHS, *GRAPHS.values())
    before = [dict(entries) for entries in declared]
    yield
    for entries, kept in zip(declared, before, strict=True):
        entries.clear()
        entries.update(kept)


def _declare_read(name: str, action: Action) -> None:
    @query(f"test.{name}.get", action)
    def get(scope: QueryScope, data: ById) -> Row[IssueRelation]:
        """One relation."""
        return scope.select(IssueRelation).where(col(IssueRelation.id) == data.id).one("none")


@pytest.mark.parametrize("actions", [(Action.READ, Action.MANAGE), (Action.MANAGE, Action.READ)])
def test_the_gate_of_an_edge_does_not_depend_on_what_reads_are_declared(actions: tuple[Action, ...]) -> None:
    extend(Workspace, extra=many(IssueRelation, "workspace_id"))
    _declare_read("relations", actions[0])
    graph(IssueRelation, gate=Action.CREATE, scope="runs:read", visible=EVERYONE)
    _declare_read("ties", actions[1])
    assert roles_of(Workspace, ROW) == GATES[Action.CREATE]
    assert scopes_of(Workspace, ROW) == frozenset({"runs:read"})


def test_an_edge_asks_for_more_than_its_target_and_never_for_less() -> None:
    extend(Workspace, extra=many(Membership, "workspace_id", requires=Action.OWNER))
    assert roles_of(Workspace, ROW) == {Role.OWNER}
    ACCESS[Membership] = replace(ACCESS[Membership], gate=Action.OWNER)
    GRAPHS[Workspace]["extra"] = many(Membership, "workspace_id", requires=Action.READ)
    assert roles_of(Workspace, ROW) == {Role.OWNER}


def test_only_what_a_reader_of_the_row_may_lack_is_refusable() -> None:
    """Such fields are nullable; no others are."""
    report = reads(Sum, lambda row, scope: select(literal(1).label("number")))
    of_owners = many(Membership, "workspace_id", requires=Action.OWNER)
    assert is_refusable(Workspace, of_owners)
    assert not is_refusable(Workspace, many(Label, "workspace_id"))
    assert not is_refusable(Workspace, None)
    assert not is_refusable(Workspace, report)  # who reads the row may read it
    assert not is_refusable(Deleted, of_owners)  # an answer of a command, which is refused before it writes
    ACCESS[Workspace] = replace(ACCESS[Workspace], gate=Action.OWNER)
    assert not is_refusable(Workspace, of_owners)


def test_no_token_with_scopes_reads_what_no_scope_opens() -> None:
    extend(Membership, extra=many(CliToken, "user_id"))
    assert scopes_of(Membership, ROW) is None
    with pytest.raises(Exception, match="cannot be used for accounts, sessions and tokens"):
        check(SCOPES, scopes_of(Membership, ROW))


def _started(tmp_path: Path) -> Any:
    return create_app(settings_for("postgresql://nowhere/none", tmp_path))


def test_nothing_starts_with_an_edge_to_rows_that_nothing_is_said_of(tmp_path: Path) -> None:
    extend(Workspace, extra=many(IssueRelation, "workspace_id"))
    with pytest.raises(TypeError, match=r"Workspace\.extra leads to IssueRelation, which has no graph"):
        _started(tmp_path)
    with pytest.raises(TypeError, match="IssueRelation has no graph"):  # and nobody walks it
        roles_of(Workspace, ROW)
    graph(IssueRelation, gate=Action.READ, scope="runs:read", visible=EVERYONE)
    assert _started(tmp_path)


def test_nothing_starts_with_an_answer_of_rows_that_nothing_is_said_of(tmp_path: Path) -> None:
    @query("test.relations.list", Action.READ)
    def listed(scope: QueryScope, data: NoInput) -> Rows[IssueRelation]:
        """All relations."""
        return scope.select(IssueRelation)

    with pytest.raises(TypeError, match="IssueRelation has no graph"):
        _started(tmp_path)


def test_it_is_said_once_and_with_a_scope_that_there_is() -> None:
    with pytest.raises(TypeError, match="Label has a graph already"):
        graph(Label, gate=Action.READ, scope=OPEN, visible=EVERYONE)
    graph(IssueRelation, gate=Action.READ, scope="relations:see", visible=EVERYONE)
    with pytest.raises(TypeError, match="IssueRelation: there is no scope relations:see"):
        check_graphs([IssueRelation])
