"""Answers of mutations: several in order, a refused one in the middle, and what they show of rows just written."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.reader.library import Library, canonical
from tests.world import Person, World

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["compiled", "executor"])
async def send(request: pytest.FixtureRequest, library: Library) -> AsyncIterator[Any]:
    """Asks one of the paths."""
    endpoint = getattr(library, request.param)

    async def sent(person: Person, text: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        return (await library.ask(endpoint, person, text, variables))[1]

    yield sent
    await library.world.database.execute("DELETE FROM labels WHERE name LIKE 'w-%'")


def codes(answer: dict[str, Any]) -> dict[str, str]:
    return {error["path"][0]: error["extensions"]["code"] for error in answer.get("errors", ())}


async def test_writes_are_carried_out_in_order_and_a_refused_one_leaves_the_others(library: Library, send: Any) -> None:
    text = """mutation {
        z: createLabel(input: {name: "w-1", color: "red"}) { name }
        a: createLabel(input: {name: "w-1", color: "blue"}) { name }
        m: createLabel(input: {name: "", color: "blue"}) { name }
        b: createLabel(input: {name: "w-2", color: "blue", labelGroup: null}) { labelGroup name __typename }
        t: __typename }"""
    answer = await send(library.world.owner, text)
    assert json.dumps(answer["data"]) == json.dumps(
        {
            "z": {"name": "w-1"},
            "a": None,
            "m": None,
            "b": {"labelGroup": None, "name": "w-2", "__typename": "Label"},
            "t": "Mutation",
        }
    )
    assert codes(answer) == {"a": "CONFLICT", "m": "BAD_REQUEST"}
    kept = await library.world.database.fetch("SELECT name, color FROM labels WHERE name LIKE 'w-%' ORDER BY name")
    assert [tuple(row) for row in kept] == [("w-1", "red"), ("w-2", "blue")]


async def test_a_later_write_sees_the_earlier_one(library: Library, send: Any) -> None:
    made = await send(library.world.owner, 'mutation { createLabel(input: {name: "w-3", color: "red"}) { id } }')
    values = {
        "in": {"id": made["data"]["createLabel"]["id"], "color": "green"},
        "again": {"id": made["data"]["createLabel"]["id"], "name": "w-4"},
    }
    text = """mutation($in: UpdateLabelInput!, $again: UpdateLabelInput!) {
        one: updateLabel(input: $in, ifVersion: 1) { name color }
        two: updateLabel(input: $again, ifVersion: 2) { name color }
        late: updateLabel(input: $in, ifVersion: 1) { name } }"""
    answer = await send(library.world.owner, text, values)
    assert answer["data"] == {
        "one": {"name": "w-3", "color": "green"},
        "two": {"name": "w-4", "color": "green"},
        "late": None,
    }
    assert codes(answer) == {"late": "PRECONDITION_FAILED"}


async def new_crew(world: World, slug: str) -> str:
    answer = await world.graphql(
        world.owner,
        "mutation($ws: ID, $in: CreateCrewInput!) { c: createCrew(workspaceId: $ws, input: $in) { id } }",
        {"in": {"name": "Crew", "slug": slug}},
    )
    return str(answer["data"]["c"]["id"])


async def test_what_hangs_on_a_row_made_in_the_same_statement(
    library: Library, send: Any, request: pytest.FixtureRequest
) -> None:
    """The new row is counted where rows of its table are counted, and found where they are listed."""
    world, name = library.world, request.node.callspec.id
    crew = await new_crew(world, f"made-{name}")
    before = await world.database.fetchval(
        "SELECT count(*) FROM agents WHERE workspace_id = $1 AND deleted_at IS NULL", world.workspace.id
    )
    text = """mutation($in: CreateAgentInput!) { made: createAgent(input: $in) {
        id slug description llmProvider crewId createdAt updatedAt version chatCount skillCount
        parentLead { id } expiresAt crew { id agentCount memberCount members { id }
            agents(first: 5) { totalCount nodes { id slug } pageInfo { hasNextPage } } } } }"""
    for number in (1, 2):
        answer = await send(
            world.owner, text, {"in": {"name": "Agent", "slug": f"made-{name}-{number}", "crewId": crew}}
        )
        assert "errors" not in answer, answer["errors"]
        made = answer["data"]["made"]
        assert made["crew"]["agentCount"] == made["crew"]["agents"]["totalCount"] == number
        assert made["id"] in [a["id"] for a in made["crew"]["agents"]["nodes"]]
        assert (made["slug"], made["crewId"], made["description"], made["chatCount"], made["parentLead"]) == (
            f"made-{name}-{number}",
            crew,
            None,
            0,
            None,
        )
        again = await library.same(
            world.owner,
            f'{{ made: agent(id: "{made["id"]}") ' + text[text.index("{\n        id") : text.rindex("}")] + "}",
        )
        assert again["data"]["made"] == made, "what the write answers is what a read answers"
    assert (
        await world.database.fetchval(
            "SELECT count(*) FROM agents WHERE workspace_id = $1 AND deleted_at IS NULL", world.workspace.id
        )
        == before + 2
    )


async def test_an_edge_of_a_new_crew_is_empty_and_itself_is_not_lost(
    library: Library, send: Any, request: pytest.FixtureRequest
) -> None:
    text = """mutation($in: CreateCrewInput!, $n: Int) { createCrew(input: $in) {
        slug agentCount memberCount containerCpus allowedDomains policySetAt members { id }
        a: agents(first: $n) { nodes { id } totalCount pageInfo { endCursor hasNextPage hasPreviousPage } } } }"""
    answer = await send(
        library.world.owner, text, {"in": {"name": "Crew", "slug": f"new-{request.node.callspec.id}"}, "n": 2}
    )
    page = {
        "nodes": [],
        "totalCount": 0,
        "pageInfo": {"endCursor": None, "hasNextPage": False, "hasPreviousPage": False},
    }
    assert answer["data"]["createCrew"] == {
        "slug": f"new-{request.node.callspec.id}", "agentCount": 0, "memberCount": 0, "containerCpus": 2,
        "allowedDomains": [], "policySetAt": None,
        "a": page, "members": [],
    }  # fmt: skip


async def test_a_new_member_is_counted_in_the_crew_of_the_answer(
    library: Library, send: Any, request: pytest.FixtureRequest
) -> None:
    world = library.world
    crew = await new_crew(world, f"joined-{request.node.callspec.id}")
    text = (
        "mutation($in: AddCrewMemberInput!) {"
        " m: addCrewMember(input: $in) { user { id email } crew { memberCount members { user { id } } } } }"
    )
    answer = await send(world.owner, text, {"in": {"crewId": crew, "userId": world.viewer.user_id}})
    user = {"id": world.viewer.user_id}
    assert answer["data"] == {
        "m": {"user": user | {"email": world.viewer.email}, "crew": {"memberCount": 1, "members": [{"user": user}]}}
    }


async def test_a_connection_of_crews_shows_names_that_are_computed(
    library: Library, send: Any, request: pytest.FixtureRequest
) -> None:
    world, name = library.world, request.node.callspec.id
    one, two = await new_crew(world, f"from-{name}"), await new_crew(world, f"to-{name}")
    text = (
        "mutation($in: CreateCrewConnectionInput!) {"
        " c: createCrewConnection(input: $in) { fromCrewSlug toCrewName toCrew { slug } direction } }"
    )
    answer = await send(world.owner, text, {"in": {"fromCrewId": one, "toCrewId": two}})
    assert answer["data"]["c"] == {
        "fromCrewSlug": f"from-{name}",
        "toCrewName": "Crew",
        "toCrew": {"slug": f"to-{name}"},
        "direction": "bidirectional",
    }


async def test_a_new_workspace_shows_its_founder(library: Library, send: Any, request: pytest.FixtureRequest) -> None:
    text = """mutation($in: CreateWorkspaceInput!) { w: createWorkspace(input: $in) {
        slug memberCount currentUserRole members { role user { id } } crewCount crews { totalCount nodes { id } }
        labels { id } } }"""
    answer = await send(
        library.world.nobody, text, {"in": {"name": "Founded", "slug": f"founded-{request.node.callspec.id}"}}
    )
    assert answer["data"]["w"] == {
        "slug": f"founded-{request.node.callspec.id}", "memberCount": 1, "currentUserRole": "OWNER",
        "members": [{"role": "OWNER", "user": {"id": library.world.nobody.user_id}}], "crewCount": 0,
        "crews": {"totalCount": 0, "nodes": []}, "labels": [],
    }  # fmt: skip


async def test_a_changed_row_is_read_back_as_it_is_now(
    library: Library, send: Any, request: pytest.FixtureRequest
) -> None:
    world = library.world
    crew = await new_crew(world, f"changed-{request.node.callspec.id}")
    text = """mutation($in: UpdateCrewInput!) { c: updateCrew(input: $in) {
        q1: name version_: version name description agentCount
        agents(status: IDLE, first: 1) { nodes { id } } other: agents(status: ERROR) { totalCount } } }"""
    name = 'Renamed "☃"'
    answer = await send(world.owner, text, {"in": {"id": crew, "name": name, "description": None}})
    edges = {"agentCount": 0, "agents": {"nodes": []}, "other": {"totalCount": 0}}
    assert answer["data"]["c"] == {"q1": name, "version_": 2, "name": name, "description": None} | edges


async def test_the_labels_of_an_issue_are_those_that_were_just_put_on_it(
    library: Library, send: Any, request: pytest.FixtureRequest
) -> None:
    world, name = library.world, f"w-{request.node.callspec.id}"
    crew = await new_crew(world, f"labelled-{request.node.callspec.id}")
    lead = "mutation($in: CreateAgentInput!) { createAgent(input: $in) { id } }"
    await send(
        world.owner,
        lead,
        {"in": {"name": "Lead", "slug": f"lead-{request.node.callspec.id}", "crewId": crew, "agentRole": "LEAD"}},
    )
    labels = []
    for number in (1, 2):
        made = await send(
            world.owner, f'mutation {{ m: createLabel(input: {{name: "{name}-{number}", color: "red"}}) {{ id }} }}'
        )
        labels.append({"id": made["data"]["m"]["id"]})
    shown = "identifier labels { id }"
    create = f"mutation($in: CreateIssueInput!) {{ m: createIssue(input: $in) {{ {shown} }} }}"
    answer = await send(world.owner, create, {"in": {"crewId": crew, "title": "Leaks", "labels": [labels[0]["id"]]}})
    assert "errors" not in answer, answer["errors"]
    assert answer["data"]["m"]["labels"] == labels[:1]
    identifier = answer["data"]["m"]["identifier"]
    update = (
        "mutation($in: UpdateIssueInput!) {"
        f" m: updateIssue(input: $in) {{ {shown} labels {{ issues {{ nodes {{ identifier }} }} }} }} }}"
    )
    for chosen in (labels, labels[1:], []):
        changed = {"crewId": crew, "identifier": identifier, "labelIds": [label["id"] for label in chosen]}
        answer = await send(world.owner, update, {"in": changed})
        expected = [label | {"issues": {"nodes": [{"identifier": identifier}]}} for label in chosen]
        assert answer["data"]["m"] == {"identifier": identifier, "labels": expected}


async def test_both_paths_refuse_writes_alike(library: Library) -> None:
    world = library.world
    text = """mutation($in: CreateLabelInput!) {
        a: createLabel(input: $in) { id } b: deleteLabel(input: {id: "none"}) { id }
        c: createAgent(input: {name: "x", slug: "UPPER"}) { id }
        d: deleteLabel(input: {id: "none"}, workspaceId: "nowhere") { id } }"""
    before = await world.snapshot()
    for person in (world.viewer, world.nobody, world.outsider):
        one, other = await library.both(person, text, {"in": {"name": "x", "color": "y"}})
        assert canonical(one) == canonical(other)
        assert one["data"] == {"a": None, "b": None, "c": None, "d": None}
    assert await world.snapshot() == before


async def test_a_dear_answer_of_a_write_is_refused_before_it_is_written(library: Library) -> None:
    world = library.world
    before = await world.snapshot()
    deep = (
        "agents(first: 100) {"
        " nodes { crew { agents(first: 100) { nodes { crew { agents(first: 100) { nodes { id } } } } } } } }"
    )
    text = f'mutation {{ createCrew(input: {{name: "Dear", slug: "dear"}}) {{ id {deep} }} }}'
    for endpoint in (library.compiled, library.executor):
        _, answer = await library.ask(endpoint, world.owner, text)
        assert "data" not in answer
        assert answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert await world.snapshot() == before
