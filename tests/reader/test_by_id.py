"""`node` and `nodes`: each row as the field of its type answers it, for everybody who asks, on both paths."""

from typing import Any

import pytest
from graphql import is_leaf_type

from models.base import table_of
from schema.bridge.by_id import BY_ID, MOST
from schema.bridge.selection import BACKREF
from tests.every import each_of
from tests.reader.library import SCHEMA, Library, plain

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
QUERY: Any = SCHEMA.query_type
READS: dict[str, Any] = QUERY.fields["node"].extensions[BACKREF].metadata[BY_ID]
FIELDS = {
    type_: next(
        name
        for name, field in QUERY.fields.items()
        if field.extensions[BACKREF].metadata.get("operation") is READS[type_][0]
    )
    for type_ in READS
}
"""The field of Query that reads a row of the type."""
PEOPLE = ("owner", "viewer", "outsider")


def shown(type_: str) -> str:
    """Everything of a row that is a value and takes no argument."""
    fields: Any = SCHEMA.type_map[type_]
    values = [n for n, f in fields.fields.items() if not f.args and is_leaf_type(getattr(f.type, "of_type", f.type))]
    return " ".join(["__typename", *values])


async def ids_of(library: Library, type_: str) -> list[str]:
    """A row of this workspace, one of another, and one that is none."""
    model, found = READS[type_][0].model, list[str]()
    if hasattr(model, "__table__"):
        table, world = table_of(model), library.world
        of_issues = " AND mission_type = 'issue'" if type_ == "Issue" else ""
        places = [world.workspace.id, world.other.id] if "workspace_id" in table.c else [None]
        for place in places:
            where = f"WHERE workspace_id = '{place}'{of_issues}" if place else ""
            rows = await world.database.fetch(f"SELECT id FROM {table.name} {where} ORDER BY id LIMIT 1")
            found += [row[0] for row in rows]
    return [*found, "c00000000000000000000000"]


async def kept_agent(library: Library) -> str:
    """An agent that every member reads, in a crew."""
    rows = await library.world.database.fetch(
        "SELECT a.id FROM agents a JOIN crews c ON c.id = a.crew_id"
        f" WHERE a.workspace_id = '{library.world.workspace.id}' AND a.deleted_at IS NULL AND c.deleted_at IS NULL"
        " ORDER BY a.id LIMIT 1"
    )
    return str(rows[0][0])


@each_of("type_", [*READS])
async def test_a_node_is_what_the_field_of_its_type_answers(library: Library, type_: str) -> None:
    for id in await ids_of(library, type_):
        for name in PEOPLE:
            person = getattr(library.world, name)
            own = await library.same(person, f'{{ row: {FIELDS[type_]}(id: "{id}") {{ {shown(type_)} }} }}')
            for text in (
                f'{{ row: node(type: {type_}, id: "{id}") {{ id ... on {type_} {{ {shown(type_)} }} }} }}',
                f"query($type: NodeType!, $id: ID!) {{ row: node(type: $type, id: $id) {{ ...F }} }} "
                f"fragment F on {type_} {{ {shown(type_)} }}",
            ):
                node = await library.same(person, text, {"type": type_, "id": id})
                assert plain(node["data"]["row"]) == plain(own["data"]["row"])
                assert codes(node) == codes(own)


def codes(answer: Any) -> list[Any]:
    return sorted([error["extensions"]["code"] for error in answer.get("errors", ())])


MANY = """query($keys: [NodeKey!]!) {
    nodes(keys: $keys) {
        __typename id ... on Agent { name crew { name } } ... on Issue { title } ... on Workspace { slug }
    }
}"""


async def test_nodes_come_in_order_and_what_cannot_be_read_is_an_error_at_its_place(library: Library) -> None:
    world = library.world
    agent, [issue, *_] = await kept_agent(library), await ids_of(library, "Issue")
    _, other, _ = await ids_of(library, "Agent")
    keys = [("Issue", issue), ("Agent", other), ("Agent", agent), ("Workspace", world.workspace.id), ("Issue", agent)]
    variables = {"keys": [{"type": type_, "id": id} for type_, id in keys]}
    answer = await library.same(world.viewer, MANY, variables)
    found = answer["data"]["nodes"]
    assert [row and (row["__typename"], row["id"]) for row in found] == [keys[0], None, keys[2], keys[3], None]
    assert found[2]["crew"]["name"] is not None
    assert [(e["path"], e["extensions"]["code"]) for e in answer["errors"]] == [
        (["nodes", 1], "NOT_FOUND"), (["nodes", 4], "NOT_FOUND"),
    ]  # fmt: skip
    assert answer["extensions"]["cost"] > len(keys)
    refused = await library.same(world.outsider, MANY, {"keys": variables["keys"][:1]})
    assert refused["data"]["nodes"] == [None]
    assert codes(refused) == ["FORBIDDEN"]


async def test_nodes_are_limited(library: Library) -> None:
    keys = [{"type": "Agent", "id": "none"}] * (MOST + 1)
    answer = await library.same(library.world.owner, MANY, {"keys": keys})
    assert answer["data"] == {"nodes": None}
    assert answer["errors"][0]["extensions"]["fields"] == {"keys": f"at most {MOST} are allowed"}
    answer = await library.same(library.world.owner, MANY, {"keys": []})
    assert answer["data"] == {"nodes": []}


async def test_what_a_role_may_not_follow_is_null_in_a_node(library: Library) -> None:
    """At its path, as it is below the field of the type."""
    agent = await kept_agent(library)
    part = "__typename ... on Agent { budgets { id } }"
    one = await library.same(library.world.viewer, f'{{ node(type: Agent, id: "{agent}") {{ {part} }} }}')
    several = f'{{ nodes(keys: [{{type: Agent, id: "{agent}"}}]) {{ {part} }} }}'
    other = await library.same(library.world.viewer, several)
    assert one["data"]["node"] == other["data"]["nodes"][0] == {"__typename": "Agent", "budgets": None}
    assert [error["path"] for error in one["errors"]] == [["node", "budgets"]]
    assert [error["path"] for error in other["errors"]] == [["nodes", 0, "budgets"]]


def test_every_type_that_one_field_reads_by_its_id_is_a_node() -> None:
    assert {*READS} == {type_.name for type_ in SCHEMA.type_map.values() if "Node" in interfaces(type_)}
    assert {"Agent", "Chat", "Crew", "Issue", "Mission", "Run", "Workspace"} <= {*READS}


def interfaces(type_: Any) -> set[str]:
    return {interface.name for interface in getattr(type_, "interfaces", ())}
