"""GraphQL: crews."""

from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent, AgentRole, AgentStatus
from models.staff.crews import Crew
from tests.world import Person, World

pytestmark = pytest.mark.anyio

CREATE = "mutation($ws: ID, $in: CreateCrewInput!) { createCrew(workspaceId: $ws, input: $in) { %s } }"
UPDATE = "mutation($ws: ID, $in: UpdateCrewInput!, $v: Int) { %s(workspaceId: $ws, input: $in, ifVersion: $v) { %s } }"
DELETE = (
    "mutation($ws: ID, $in: ByIdInput!, $v: Int) {"
    " deleteCrew(workspaceId: $ws, input: $in, ifVersion: $v) { success } }"
)


async def code(world: World, person: Person, document: str, variables: dict[str, Any]) -> str:
    """Why a document was refused; a refusal has no data and leaves nothing behind."""
    before = await world.snapshot()
    answer = await world.graphql(person, document, variables)
    assert set((answer["data"] or {"none": None}).values()) == {None}
    assert await world.snapshot() == before
    return str(answer["errors"][0]["extensions"]["code"])


async def created(world: World, fields: str, **sent: Any) -> dict[str, Any]:
    crew: dict[str, Any] = (await world.graphql(world.manager, CREATE % fields, {"in": sent}))["data"]["createCrew"]
    return crew


async def test_a_crew_is_created(world: World) -> None:
    sent = {"name": "Engine", "slug": "engine", "networkMode": "restricted", "containerTtlHours": 4}
    fields = f"id workspaceId {' '.join(sent)} allowedDomains containerCpus agentCount memberCount version createdBy"
    fields += " agents { totalCount } members { id }"
    crew = await created(world, fields, **sent, allowedDomains=["https://Example.com/"])
    assert crew == sent | {
        "id": crew["id"],
        "workspaceId": world.workspace.id,
        "allowedDomains": ["example.com"],
        "containerCpus": 2,
        "agentCount": 0,
        "memberCount": 0,
        "agents": {"totalCount": 0},
        "members": [],
        "version": 1,
        "createdBy": world.manager.user_id,
    }


async def test_a_crew_is_changed_and_deleted(world: World) -> None:
    restricted = {"networkMode": "restricted", "allowedDomains": ["example.com"], "containerTtlHours": 4}
    id = (await created(world, "id", name="Changing", slug="changing", **restricted))["id"]
    changed = await world.graphql(
        world.admin,
        UPDATE % ("updateCrew", "containerTtlHours networkMode allowedDomains name"),
        {"in": {"id": id, "containerTtlHours": 0, "networkMode": "free", "name": None}},
    )
    left = {"containerTtlHours": None, "networkMode": "free", "allowedDomains": [], "name": "Changing"}
    assert changed["data"]["updateCrew"] == left
    replaced = await world.graphql(
        world.admin,
        UPDATE % ("replaceCrew", "issuePrefix servicesJson version"),
        {"in": {"id": id, "issuePrefix": "ENG", "servicesJson": "[]"}, "v": 2},
    )
    assert replaced["data"]["replaceCrew"] == {"issuePrefix": "ENG", "servicesJson": "[]", "version": 3}
    late = {"in": {"id": id, "name": "Late"}, "v": 2}
    assert await code(world, world.admin, UPDATE % ("updateCrew", "id"), late) == "PRECONDITION_FAILED"
    assert await code(world, world.admin, DELETE, {"in": {"id": id}, "v": 2}) == "PRECONDITION_FAILED"
    deleted = await world.graphql(world.admin, DELETE, {"in": {"id": id}, "v": 3})
    assert deleted["data"]["deleteCrew"] == {"success": True}
    read = "query($ws: ID, $id: ID!) { crew(workspaceId: $ws, id: $id) { id } }"
    assert await code(world, world.viewer, read, {"id": id}) == "NOT_FOUND"


async def test_refusals_have_the_codes_of_the_operations(world: World) -> None:
    await world.add(Crew(name="Taken", slug="taken", workspace_id=world.workspace.id))
    good = {"name": "Crew", "slug": "taken"}
    assert await code(world, world.member, CREATE % "id", {"in": good}) == "FORBIDDEN"
    assert await code(world, world.manager, CREATE % "id", {"in": good}) == "CONFLICT"
    assert await code(world, world.manager, CREATE % "id", {"in": good | {"slug": "T"}}) == "BAD_REQUEST"
    assert (
        await code(world, world.manager, CREATE % "id", {"in": good | {"slug": "t2", "miseConfig": "no mise"}})
        == "BAD_REQUEST"
    )
    assert await code(world, world.manager, UPDATE % ("replaceCrew", "id"), {"in": {"id": new_id()}}) == "FORBIDDEN"
    assert await code(world, world.admin, UPDATE % ("replaceCrew", "id"), {"in": {"id": new_id()}}) == "NOT_FOUND"
    members = "query($ws: ID, $id: ID!) { crewMembers(workspaceId: $ws, crewId: $id) { id } }"
    assert await code(world, world.viewer, members, {"id": new_id()}) == "NOT_FOUND"


async def test_crews_and_their_agents_are_pages(world: World) -> None:
    here = {"workspace_id": world.other.id}
    crews = [Crew(name=f"Crew {n}", slug=f"crew-{n}", **here) for n in range(3)]
    agents = [
        Agent(
            crew_id=crew.id,
            name=f"A{n}",
            slug=f"{crew.slug}-a{n}",
            status=AgentStatus.RUNNING if n else AgentStatus.IDLE,
            agent_role=AgentRole.AGENT if n else AgentRole.LEAD,
            **here,
        )
        for crew in crews
        for n in range(3)
    ]
    await world.add(*crews, *agents)
    document = """query($ws: ID!, $after: String) { crews(workspaceId: $ws, first: 2, after: $after) { totalCount
        pageInfo { hasNextPage endCursor } nodes {
        slug agentCount agents(first: 2) { totalCount nodes { name crew { slug } } }
        busy: agents(status: RUNNING) { nodes { name } } leads: agents(agentRole: LEAD) { totalCount }
    } } }"""
    first = (await world.graphql(world.outsider, document, {"ws": "other"}))["data"]["crews"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (3, True)
    assert first["nodes"][0] == {
        "slug": "crew-2",
        "agentCount": 3,
        "agents": {
            "totalCount": 3,
            "nodes": [{"name": "A0", "crew": {"slug": "crew-2"}}, {"name": "A1", "crew": {"slug": "crew-2"}}],
        },
        "busy": {"nodes": [{"name": "A1"}, {"name": "A2"}]},
        "leads": {"totalCount": 1},
    }
    second = (await world.graphql(world.outsider, document, {"ws": "other", "after": first["pageInfo"]["endCursor"]}))[
        "data"
    ]["crews"]
    assert [node["slug"] for node in first["nodes"] + second["nodes"]] == ["crew-2", "crew-1", "crew-0"]
    assert second["pageInfo"]["hasNextPage"] is False


ADD = """mutation($ws: ID, $in: AddCrewMemberInput!) {
    addCrewMember(workspaceId: $ws, input: $in) { id role user { email } crew { slug } }
}"""
CHANGE = """mutation($ws: ID, $in: UpdateCrewMemberInput!) {
    updateCrewMember(workspaceId: $ws, input: $in) { status role }
}"""
REMOVE = "mutation($ws: ID, $in: RemoveCrewMemberInput!) { removeCrewMember(workspaceId: $ws, input: $in) { success } }"


async def test_members(world: World) -> None:
    crew = Crew(name="Engine", slug="e-1", workspace_id=world.workspace.id)
    await world.add(crew)
    sent = {"crewId": crew.id, "userId": world.viewer.user_id, "role": "MEMBER"}
    member = (await world.graphql(world.manager, ADD, {"in": sent}))["data"]["addCrewMember"]
    shown = {"user": {"email": world.viewer.email}, "crew": {"slug": "e-1"}}
    assert member == {"id": member["id"], "role": "MEMBER", **shown}
    named = {"crewId": crew.id, "memberId": member["id"]}
    changed = await world.graphql(world.admin, CHANGE, {"in": {**named, "role": "ADMIN"}})
    assert changed["data"]["updateCrewMember"] == {"status": "updated", "role": "ADMIN"}
    members = "query($ws: ID, $id: ID!) { crewMembers(workspaceId: $ws, crewId: $id) { id role } }"
    listed = await world.graphql(world.viewer, members, {"id": crew.id})
    assert listed["data"]["crewMembers"] == [{"id": member["id"], "role": "ADMIN"}]
    removed = await world.graphql(world.admin, REMOVE, {"in": named})
    assert removed["data"]["removeCrewMember"] == {"success": True}
    assert await code(world, world.admin, REMOVE, {"in": named}) == "NOT_FOUND"


CONNECT = """mutation($ws: ID, $in: CreateCrewConnectionInput!) {
    createCrewConnection(workspaceId: $ws, input: $in) { id direction fromCrewName toCrew { name } }
}"""
CONNECTIONS = """query($ws: ID) {
    crewConnections(workspaceId: $ws) { id fromCrewSlug fromCrew { id } toCrew { slug } }
}"""
CUT = "mutation($ws: ID, $in: ByIdInput!) { deleteCrewConnection(workspaceId: $ws, input: $in) { id } }"


async def test_connections(world: World) -> None:
    here = {"workspace_id": world.workspace.id}
    engine, deck = Crew(name="Engine", slug="e-2", **here), Crew(name="Deck", slug="d-2", **here)
    await world.add(engine, deck)
    sent = {"fromCrewId": engine.id, "toCrewId": deck.id, "direction": "unidirectional"}
    made = (await world.graphql(world.manager, CONNECT, {"in": sent}))["data"]["createCrewConnection"]
    shown = {"direction": "unidirectional", "fromCrewName": "Engine", "toCrew": {"name": "Deck"}}
    assert made == {"id": made["id"], **shown}
    await world.graphql(world.admin, DELETE, {"in": {"id": engine.id}})
    listed = (await world.graphql(world.viewer, CONNECTIONS))["data"]["crewConnections"]
    assert listed == [{"id": made["id"], "fromCrewSlug": "e-2", "fromCrew": None, "toCrew": {"slug": "d-2"}}]
    cut = await world.graphql(world.manager, CUT, {"in": {"id": made["id"]}})
    assert cut["data"]["deleteCrewConnection"] == {"id": made["id"]}


async def test_a_workspace_leads_to_its_crews(world: World) -> None:
    await world.add(*[Crew(name=f"Led {n}", slug=f"led-{n}", workspace_id=world.workspace.id) for n in range(2)])
    document = (
        "query($ws: ID!) { workspace(id: $ws) { crewCount"
        " crews(first: 2) { totalCount nodes { slug members { id } agents { nodes { id } } } } } }"
    )
    led = (await world.graphql(world.viewer, document))["data"]["workspace"]
    assert led["crews"]["totalCount"] == led["crewCount"]
    assert led["crews"]["nodes"] == [{"slug": f"led-{n}", "members": [], "agents": {"nodes": []}} for n in (1, 0)]
    own = "{ viewer { workspaces { slug crews { nodes { slug } } } } }"
    assert [w["slug"] for w in (await world.graphql(world.outsider, own))["data"]["viewer"]["workspaces"]] == ["other"]
    assert not [
        crew
        for w in (await world.graphql(world.nobody, own))["data"]["viewer"]["workspaces"]
        for crew in w["crews"]["nodes"]
    ]
