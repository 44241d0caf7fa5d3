"""Answers easy to get wrong: empty selections, names, nulls, the same edge twice, one root's error beside others."""

import json
from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLUnionType,
    get_named_type,
)
from sqlalchemy import false

from models.base import SoftDelete, table_of
from models.people.auth import User
from models.staff.agents import Agent
from models.work.labels import Label
from resolvers.kernel.declarations.operation import Operation
from resolvers.kernel.reader import GRAPHS, Column, Derived, Edge, Nested, Shape, View, count, edges_in, intern, many
from resolvers.kernel.reader.graph import visible_of
from resolvers.work import labels
from schema.bridge.event_types import UNION_NAMES
from schema.bridge.fields import NODES
from schema.bridge.selection import BACKREF
from tests.every import each_of
from tests.reader.library import SCHEMA, Library
from tests.tenant.door import visible

pytestmark = pytest.mark.anyio


@pytest.mark.slow
@each_of(
    "text",
    [
        "{ labels { id @skip(if: true) } }",
        "{ crews { nodes { id @skip(if: true) } totalCount } }",
        "{ crews { edges { node { id @skip(if: true) } } } }",
        "{ crews { edges { node @skip(if: true) { id } } pageInfo { hasNextPage } } }",
        "{ crews { edges { cursor @skip(if: true) } nodes { id } } }",
        "{ crews { pageInfo { endCursor @include(if: false) } } }",
        (
            "{ crews { pageInfo { endCursor @include(if: false) }"
            " nodes { id @include(if: false) } edges { cursor @include(if: false) } } }"
        ),
        "{ crews { totalCount @skip(if: true) } }",
        "{ crews { ... @skip(if: true) { totalCount } } labels @skip(if: true) { id } }",
        "{ labels @skip(if: true) { id } }",
        "{ workspace { crews { nodes @skip(if: true) { id } } labels { id @skip(if: true) } } }",
        "{ crews(first: 3) { nodes { agents { nodes { id @skip(if: true) } } members { id @skip(if: true) } } } }",
        (
            "{ crews(first: 3) { nodes { agents {"
            " pageInfo { endCursor @skip(if: true) } } agentCount @skip(if: true) } } }"
        ),
        "{ agents(first: 3) { nodes { crew { id @skip(if: true) } parentLead { id @skip(if: true) } } } }",
        "{ viewer { id @skip(if: true) } }",
        "{ crewsStatus { total @skip(if: true) } license { edition @skip(if: true) } }",
        "{ crewConnections { fromCrewName @skip(if: true) } }",
    ],
)
async def test_nothing_is_left_of_a_selection(library: Library, text: str) -> None:
    answer = await library.same(library.world.owner, text)
    assert "errors" not in answer, answer["errors"]
    whole = await library.same(
        library.world.owner, text.replace("@skip(if: true)", "").replace("@include(if: false)", "")
    )
    assert shape_of(answer["data"]) == shape_of(whole["data"], answer["data"]), (
        "as many rows as with everything selected"
    )


def shape_of(value: Any, like: Any = None) -> Any:
    """Numbers of rows; of objects the keys that `like` has."""
    if isinstance(value, list):
        return [shape_of(v, like[n] if like is not None and n < len(like) else None) for n, v in enumerate(value)]
    if isinstance(value, dict):
        return {
            k: shape_of(v, None if like is None else like[k]) for k, v in value.items() if like is None or k in like
        }
    return value is None


async def test_a_page_info_takes_a_few_names(library: Library) -> None:
    names = [
        f"{letter}{n}: {field}"
        for n, (letter, field) in enumerate([("a", "hasNextPage"), ("b", "endCursor"), ("c", "startCursor")] * 5)
    ]
    answer = await library.same(
        library.world.owner, "{ crews(first: 2) { pageInfo { __typename " + " ".join(names) + " } } }"
    )
    assert "errors" not in answer, answer["errors"]
    info = answer["data"]["crews"]["pageInfo"]
    assert len(info) == 16
    assert info["a0"] is True
    assert info["b1"] == info["b4"] != info["c2"]


@pytest.mark.slow
@each_of(
    "name",
    [
        "q1",
        "q2",
        "t1",
        "o1",
        "p1",
        "r1",
        "version_",
        "one",
        "payload",
        "who",
        "place",
        "found",
        "table",
        "user",
        "x" * 63,
    ],
)
async def test_an_alias_can_be_any_name(library: Library, name: str) -> None:
    nodes = "nodes { @: name agents(first: 1) { @: nodes { @: slug } } members { @: id } }"
    text = f"{{ crews(first: 2) {{ @: totalCount edges {{ @: cursor }} {nodes} pageInfo {{ @: endCursor }} }} }}"
    one = await library.same(library.world.owner, text.replace("@", name))
    other = await library.same(library.world.owner, text.replace("@", "plain_name"))
    assert "errors" not in one
    assert json.dumps(one["data"]) == json.dumps(other["data"]).replace("plain_name", name)
    of_one = (
        f'{{ agent(id: "{library.ids["agents"][0]}") {{ {name}: version id }}'
        f" workspace {{ {name}: name }} viewer {{ {name}: id }} }}"
    )
    assert json.dumps(await library.same(library.world.outsider, of_one))


async def test_the_same_edge_twice_with_other_arguments(library: Library) -> None:
    text = """query($n: Int, $status: AgentStatus, $none: AgentStatus, $after: String) { crews(first: 100) { nodes {
        one: agents(first: 1) { nodes { id } } two: agents(first: 2) { nodes { id } totalCount }
        skipped: agents(first: 2, offset: 1) { nodes { id } }
        given: agents(first: $n, status: $status) { nodes { id status } totalCount }
        idle: agents(status: IDLE) { nodes { status } }
        null: agents(status: null, after: null, offset: null) { nodes { id } }
        absent: agents(status: $none, after: $after) { nodes { id } } } } }"""
    answer = await library.same(library.world.owner, text, {"n": 2, "status": "RUNNING", "none": None})
    assert "errors" not in answer
    for crew in answer["data"]["crews"]["nodes"]:
        whole = crew["null"]["nodes"]
        assert crew["absent"]["nodes"] == whole
        assert crew["one"]["nodes"] == whole[:1]
        assert crew["two"] == {"nodes": whole[:2], "totalCount": len(whole)}
        assert crew["skipped"]["nodes"] == whole[1:3]
        assert {a["status"] for a in crew["given"]["nodes"]} <= {"RUNNING"}
        assert crew["given"]["totalCount"] >= len(crew["given"]["nodes"]) <= 2
        assert {a["status"] for a in crew["idle"]["nodes"]} <= {"IDLE"}
    assert any(crew["given"]["nodes"] for crew in answer["data"]["crews"]["nodes"])


async def test_an_error_of_one_root_leaves_the_others(library: Library) -> None:
    text = """{ a: labels { id } b: crew(id: "none") { id } c: crews(after: "bad") { totalCount }
        d: labels(workspaceId: "nowhere") { id }
        e: workspace(id: "x", slug: "y") { id } f: __typename g: crews { totalCount } }"""
    answer = await library.same(library.world.owner, text)
    assert list(answer["data"]) == list("abcdefg")
    assert [k for k, v in answer["data"].items() if v is None] == list("bcde")
    codes = {e["path"][0]: e["extensions"]["code"] for e in answer["errors"]}
    assert codes == {"b": "NOT_FOUND", "c": "BAD_REQUEST", "d": "FORBIDDEN", "e": "BAD_REQUEST"}
    assert all(e["locations"] for e in answer["errors"])


async def test_no_edge_leaves_the_workspace_or_shows_what_is_deleted(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the condition of an edge says: here, texts that agents of all workspaces share, deleted ones too."""
    world = library.world
    monkeypatch.setitem(GRAPHS, Label, {"agents": many(Agent, on=same_text), "number": count(Agent, on=same_text)})
    inner = Shape((Column("id", "id"),), "list")
    shape = intern(
        Shape(
            (
                Column("color", "color"),
                Nested("agents", "agents", inner),
                Nested("number", "number", Shape((), "count")),
            ),
            "list",
        )
    )
    # it would hide what the statement lets through
    await world.database.execute("ALTER TABLE agents DISABLE ROW LEVEL SECURITY")
    try:
        answer = json.loads(
            (await labels.list_labels(world.owner.caller, {}, shape, (), world.workspace.id)).body or b""
        )
    finally:
        await world.database.execute("ALTER TABLE agents ENABLE ROW LEVEL SECURITY")
    rows = await world.database.fetch(
        "SELECT id, name FROM agents WHERE workspace_id = $1 AND deleted_at IS NULL", world.workspace.id
    )
    for label in answer:
        expected = {row["id"] for row in rows if row["name"] == label["color"]}
        assert {agent["id"] for agent in label["agents"]} == expected
        assert label["number"] == len(expected)
    assert any(label["number"] for label in answer)
    shared = {label["color"] for label in answer if label["number"]}
    others = "SELECT count(*) FROM agents WHERE name = ANY($1) AND (workspace_id <> $2 OR deleted_at IS NOT NULL)"
    assert await world.database.fetchval(others, list(shared), world.workspace.id) > 0


async def test_a_report_that_hangs_on_a_row_is_of_that_row(library: Library) -> None:
    """Of one row that is read by itself, and of each row of a list; the statement alone says so."""
    world, tables = library.world, ("issue_relations", "missions")
    for table in tables:
        await world.database.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    try:
        text = (
            '{ one: issue(identifier: "ENG-1") { id relations { relationId } }'
            " page: issues(first: 100) { nodes { id relations { relationId } } } }"
        )
        answer = await library.same(world.viewer, text)
    finally:
        for table in tables:
            await world.database.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    rows = await world.database.fetch("SELECT id, source_id, target_id FROM issue_relations")
    shown = [answer["data"]["one"], *answer["data"]["page"]["nodes"]]
    for issue in shown:
        expected = {row["id"] for row in rows if issue["id"] in (row["source_id"], row["target_id"])}
        assert {relation["relationId"] for relation in issue["relations"]} == expected
        assert len(issue["relations"]) == len(expected)
    assert shown[0]["relations"]
    assert len({len(issue["relations"]) for issue in shown}) > 2


def same_text(label: Any, agent: Any) -> Any:
    return agent.name == label.color


async def test_free_json_passes_unchanged(library: Library) -> None:
    crew = library.ids["crews"][0]
    await library.world.database.execute("UPDATE crews SET deleted_at = NULL WHERE id = $1", crew)
    text = (
        f'{{ x: crewCapabilities(crewId: "{crew}") {{ schema'
        " runtimes { scriptInterpreters } again: schema __typename } }"
    )
    for person in (library.world.owner, library.world.outsider):
        answer = await library.same(person, text)
        if "errors" not in answer:
            assert answer["data"]["x"]["schema"] == answer["data"]["x"]["again"]
            assert isinstance(answer["data"]["x"]["runtimes"]["scriptInterpreters"], dict)


async def test_introspection_is_answered_beside_rows(library: Library) -> None:
    text = (
        'query($w: ID) { __type(name: "Crew") { name }'
        " crews(first: 2, workspaceId: $w) { nodes { id name } } __typename labels { id } }"
    )
    one, other = await library.both(library.world.owner, text, {"w": library.world.workspace.id})
    assert one["data"] == other["data"]
    assert one["data"]["__type"] == {"name": "Crew"}
    alone = await library.same(library.world.owner, "{ crews(first: 2) { nodes { id name } } labels { id } }")
    assert one["data"]["crews"] == alone["data"]["crews"]
    assert one["data"]["labels"] == alone["data"]["labels"]


SHOWN_IN_LIVE_WORKSPACES_ONLY = {("Member", "workspace")}
COUNTED = {("Mission", "taskStats"), ("Skill", "usage")}
"""Reports that are counts alone, and have a row whatever they count."""


# ---- what the schema promises ----------------------------------------------------------------------------------------


def test_enums_are_shown_as_they_are_stored() -> None:
    """The compiled path passes on what the table holds. Of an input, or of what a command says, nothing is compiled."""
    nodes = {cls for classes in NODES.values() for cls in classes}
    shown = {
        get_named_type(field.type)
        for type_ in SCHEMA.type_map.values()
        if isinstance(type_, GraphQLObjectType) and getattr(type_.extensions.get(BACKREF), "origin", None) in nodes
        for field in type_.fields.values()
    }
    assert sum(isinstance(type_, GraphQLEnumType) for type_ in shown) > 20
    for type_ in shown:
        if isinstance(type_, GraphQLEnumType):
            for name, value in type_.values.items():
                assert name == (value.value.value if isinstance(value.value, Enum) else value.value), (
                    f"{type_.name}.{name}"
                )


def test_these_types_are_abstract() -> None:
    """What is read is of one type each, or of a union whose members a graph names: a shape is known before its rows."""
    abstract = {
        t.name
        for t in SCHEMA.type_map.values()
        if isinstance(t, (GraphQLInterfaceType, GraphQLUnionType)) and not t.name.startswith("__")
    }
    assert abstract == {
        "Actor",
        "AttentionEvent",
        "AttentionSubject",
        "ChangeEvent",
        "InboxSubject",
        "Event",
        "JournalEvent",
        "Node",
        "RunEvent",
        *UNION_NAMES.values(),
    }


def models() -> dict[str, Any]:
    """GraphQL type -> model, from the roots on."""
    found: dict[str, Any] = {}

    def visit(type_: Any, model: Any) -> None:
        if not isinstance(type_, GraphQLObjectType) or type_.name in found or not hasattr(model, "__mro__"):
            return
        if type_.name.endswith(("Connection", "Edge")) and type_.fields.keys() & {"nodes", "node"}:
            inner = type_.fields["nodes" if "nodes" in type_.fields else "node"]
            visit(get_named_type(inner.type), model)
            return
        found[type_.name] = model
        for definition in type_.fields.values():
            named: Any = get_named_type(definition.type)
            members = named.types if isinstance(named, GraphQLUnionType) else (named,)
            edges = edges_in(GRAPHS.get(model, {}).get(definition.extensions[BACKREF].python_name))
            for edge, member in zip(edges, members, strict=False):
                visit(member, edge.target)

    for root in (SCHEMA.query_type, SCHEMA.mutation_type):
        for definition in root.fields.values() if root else ():
            op: Operation[Any] | None = definition.extensions[BACKREF].metadata.get("operation")
            if op is not None and op.model is not None:
                visit(get_named_type(definition.type), op.model)
    return found


def could_be_null() -> Iterator[str]:
    """Fields that say they are never null, and of which nothing holds that: a column, a foreign key to a row that
    everybody sees and nobody deletes.
    """
    for type_, model in models().items():
        if not hasattr(model, "__table__"):
            continue
        table = table_of(model)
        fields: Any = SCHEMA.type_map[type_].fields  # type: ignore[union-attr]
        for name, definition in fields.items():
            python, required = definition.extensions[BACKREF].python_name, isinstance(definition.type, GraphQLNonNull)
            entry = GRAPHS.get(model, {}).get(python)
            if not required:
                continue
            of_column = python in table.c and table.c[python].nullable
            of_edge = (
                isinstance(entry, Edge)
                and entry.kind == "one"
                and (type_, name) not in SHOWN_IN_LIVE_WORKSPACES_ONLY | COUNTED
                and is_lacking(entry.target)
            )
            if (
                of_column
                or of_edge
                or (isinstance(entry, Derived) and entry.parent is not None and visible_of(entry.parent) is not None)
            ):
                yield f"{type_}.{name}"


def is_lacking(target: Any) -> bool:
    """Whether a row may be named and not shown."""
    return issubclass(target, (SoftDelete, View)) or visible_of(target) is not None


def test_what_is_never_null_cannot_be_null() -> None:
    """The compiled path does not look at values."""
    assert list(could_be_null()) == []


OF_AGENTS = ["Chat.agentSlug", "Escalation.fromName", "Escalation.fromSlug", "LogEntry.agent"]
OF_AGENTS += ["Run.agentName", "Run.agentSlug", "WorkPause.agentName"]


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (Agent, OF_AGENTS),
        (User, ["CrewMember.user", "Invitation.inviter", "Member.user", "SavedView.owner"]),
    ],
)
def test_what_can_be_hidden_can_be_null(model: Any, fields: list[str]) -> None:
    with visible(model, lambda row, scope: false()):
        assert sorted(could_be_null()) == fields
