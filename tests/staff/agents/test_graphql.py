"""GraphQL: agents."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.base import new_id
from models.people.workspaces import Role
from models.resources.skills import AgentSkill, Skill
from models.staff.agents import Agent, AgentRole
from models.staff.crews import Crew, CrewMember
from tests.world import Person, World

pytestmark = pytest.mark.anyio

CREATE = "mutation($ws: ID, $in: CreateAgentInput!) { createAgent(workspaceId: $ws, input: $in) { %s } }"
UPDATE = (
    "mutation($ws: ID, $in: UpdateAgentInput!, $v: Int) {"
    " updateAgent(workspaceId: $ws, input: $in, ifVersion: $v) { %s } }"
)
DELETE = "mutation($ws: ID, $in: ByIdInput!) { deleteAgent(workspaceId: $ws, input: $in) { success } }"


async def crew_of(world: World) -> Crew:
    crew = Crew(workspace_id=world.workspace.id, name="Crew", slug=new_id())
    await world.add(crew)
    return crew


async def data(world: World, person: Person, document: str, **variables: Any) -> Any:
    answer = await world.graphql(person, document, variables)
    assert "errors" not in answer
    return next(iter(answer["data"].values()))


async def code(world: World, person: Person, document: str, **variables: Any) -> str:
    """The code of a refusal, which writes nothing."""
    before = await world.snapshot()
    answer = await world.graphql(person, document, variables)
    assert not any(answer["data"].values())
    assert await world.snapshot() == before
    refused: str = answer["errors"][0]["extensions"]["code"]
    return refused


async def test_an_agent_lives(world: World) -> None:
    crew = await crew_of(world)
    shown = (
        "id name slug agentRole leadMode status cliAdapter toolProfile"
        " timeoutSeconds skillCount createdByUserId version crew { id slug }"
    )
    body = {"name": "Agent", "slug": "lives", "crewId": crew.id, "agentRole": "LEAD"}
    made = await data(world, world.manager, CREATE % shown, **{"in": body})
    row = {
        "name": "Agent",
        "slug": "lives",
        "agentRole": "LEAD",
        "leadMode": "active",
        "status": "IDLE",
        "cliAdapter": "CLAUDE_CODE",
        "toolProfile": "CODING",
    }
    row |= {
        "timeoutSeconds": 1800,
        "skillCount": 0,
        "createdByUserId": world.manager.user_id,
        "version": 1,
        "crew": {"id": crew.id, "slug": crew.slug},
    }
    assert made == {"id": made["id"]} | row
    changed = await data(
        world,
        world.manager,
        UPDATE % "leadMode llmProvider version",
        v=1,
        **{"in": {"id": made["id"], "leadMode": "passive", "llmProvider": "OPENAI"}},
    )
    assert changed == {"leadMode": "passive", "llmProvider": "OPENAI", "version": 2}
    assert (
        await code(world, world.manager, UPDATE % "id", v=1, **{"in": {"id": made["id"], "name": "Late"}})
        == "PRECONDITION_FAILED"
    )
    assert (
        await code(world, world.manager, UPDATE % "id", **{"in": {"id": made["id"], "leadMode": None}}) == "BAD_REQUEST"
    )
    found = await data(
        world,
        world.viewer,
        "query($ws: ID, $id: ID!) { agent(workspaceId: $ws, id: $id) { name leadMode } }",
        id=made["id"],
    )
    assert found == {"name": "Agent", "leadMode": "passive"}
    assert await data(world, world.manager, DELETE, **{"in": {"id": made["id"]}}) == {"success": True}
    assert (
        await code(
            world, world.viewer, "query($ws: ID, $id: ID!) { agent(workspaceId: $ws, id: $id) { name } }", id=made["id"]
        )
        == "NOT_FOUND"
    )


async def test_a_role_in_the_crew_counts_here_too(world: World) -> None:
    crew = await crew_of(world)
    await world.add(
        CrewMember(workspace_id=world.workspace.id, crew_id=crew.id, user_id=world.member.user_id, role=Role.MANAGER)
    )
    made = await data(
        world, world.member, CREATE % "id", **{"in": {"name": "Agent", "slug": new_id(), "crewId": crew.id}}
    )
    assert await code(world, world.member, CREATE % "id", **{"in": {"name": "Agent", "slug": new_id()}}) == "FORBIDDEN"
    assert await code(world, world.member, DELETE, **{"in": {"id": made["id"]}}) == "FORBIDDEN"
    assert await code(world, world.manager, DELETE, **{"in": {"id": made["id"]}}) == "FORBIDDEN"
    assert await code(world, world.manager, UPDATE % "id", **{"in": {"id": new_id(), "name": "x"}}) == "FORBIDDEN"
    assert await code(world, world.admin, UPDATE % "id", **{"in": {"id": new_id(), "name": "x"}}) == "NOT_FOUND"
    assert await code(world, world.admin, UPDATE % "id", **{"in": {"id": made["id"]}}) == "BAD_REQUEST"


async def test_pages_of_agents_go_on_across_ghosts(world: World) -> None:
    crew = await crew_of(world)
    start, here = (
        datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC),
        {"workspace_id": world.workspace.id, "crew_id": crew.id, "name": "Agent"},
    )
    for number in range(7):
        expired = start + timedelta(seconds=number // 2) if number < 3 else None
        await world.add(
            Agent(
                slug=new_id(),
                created_at=start + timedelta(microseconds=number // 2),
                expired_at=expired,
                ephemeral=expired is not None,
                **here,
            )
        )
    page = "nodes { id expiredAt } pageInfo { hasNextPage endCursor } totalCount"
    document = (
        "query($ws: ID, $crew: ID, $after: String) {"
        f" agents(workspaceId: $ws, crewId: $crew, first: 2, after: $after) {{ {page} }} }}"
    )
    met: list[str] = []
    after = None
    while True:
        found = await data(world, world.viewer, document, crew=crew.id, after=after)
        assert found["totalCount"] == 7
        met += [node["id"] for node in found["nodes"]]
        after = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"]:
            break
    async with world.client(world.viewer) as client:
        listed = (
            await client.get("/api/v1/agents", params={"workspace_id": world.workspace.id, "crew_id": crew.id})
        ).json()
    assert met == [agent["id"] for agent in listed]
    assert len(set(met)) == 7


async def test_what_hangs_on_an_agent(world: World) -> None:
    crew, here = await crew_of(world), {"workspace_id": world.workspace.id}
    lead = Agent(name="Lead", slug=new_id(), crew_id=crew.id, agent_role=AgentRole.LEAD, **here)
    hand = Agent(name="Hand", slug=new_id(), crew_id=crew.id, parent_lead_id=lead.id, **here)
    skill = Skill(name="s", name_key="s", slug="s", display_name="s")
    await world.add(lead, hand, skill, AgentSkill(agent_id=hand.id, skill_id=skill.id, **here))
    shown = "parentLead { id crew { slug } parentLead { id } } skillCount credentialCount chatCount"
    found = await data(
        world,
        world.viewer,
        f"query($ws: ID, $id: ID!) {{ agent(workspaceId: $ws, id: $id) {{ {shown} }} }}",
        id=hand.id,
    )
    assert found == {
        "parentLead": {"id": lead.id, "crew": {"slug": crew.slug}, "parentLead": None},
        "skillCount": 1,
        "credentialCount": 0,
        "chatCount": 0,
    }
    nested = (
        "query($ws: ID, $crew: ID!) { crew(workspaceId: $ws, id: $crew) { agents(agentRole: LEAD) { nodes { id } } } }"
    )
    assert await data(world, world.viewer, nested, crew=crew.id) == {"agents": {"nodes": [{"id": lead.id}]}}
    nested = (
        "query($ws: ID, $crew: ID) { workspace(id: $ws) {"
        " agents(crewId: $crew, first: 1) { totalCount nodes { id } } } }"
    )
    newest = await world.database.fetchval(
        "SELECT id FROM agents WHERE crew_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1", crew.id
    )
    assert await data(world, world.viewer, nested, crew=crew.id) == {
        "agents": {"totalCount": 2, "nodes": [{"id": newest}]}
    }


async def test_counters_and_load(world: World) -> None:
    document = (
        "query($ws: ID) { crewsStatus(workspaceId: $ws) { total idle }"
        " agentLoad(workspaceId: $ws) { agentId agentStatus tokenBudget } }"
    )
    answer = await world.graphql(world.viewer, document)
    async with world.client(world.viewer) as client:
        loads = (await client.get("/api/v1/agent-load", params={"workspace_id": world.workspace.id})).json()
    assert loads
    assert answer["data"]["crewsStatus"]["total"] == len(loads)
    assert answer["data"]["agentLoad"] == [
        {"agentId": a["agent_id"], "agentStatus": a["agent_status"], "tokenBudget": a["token_budget"]} for a in loads
    ]


async def test_the_webhook_secret_is_no_field(world: World) -> None:
    answer = await world.graphql(world.owner, "query($ws: ID) { agents(workspaceId: $ws) { nodes { webhookSecret } } }")
    assert "webhookSecret" in answer["errors"][0]["message"]
    assert not answer.get("data")


async def test_agents_are_found_by_name_status_and_role(world: World) -> None:
    crew = await crew_of(world)
    here: dict[str, Any] = {"workspace_id": world.workspace.id}
    mark = new_id()
    await world.add(
        Agent(name=f"Ada {mark}", slug=f"{mark}-a", crew_id=crew.id, agent_role=AgentRole.LEAD, **here),
        Agent(name=f"Bo {mark}", slug=f"{mark}-b", crew_id=crew.id, status="ERROR", **here),
        Agent(name=f"Al%_ {mark}", slug=f"{mark}-c", **here),
        Agent(name=f"Ada {mark}", slug=f"{mark}-d", workspace_id=world.other.id),
    )
    document = (
        "query($ws: ID, $q: String, $status: AgentStatus, $role: AgentRole, $crew: ID, $first: Int) {"
        " findAgents(workspaceId: $ws, search: $q, status: $status, agentRole: $role, crewId: $crew, first: $first)"
        " { totalCount nodes { name } } }"
    )

    async def found(**given: Any) -> set[str]:
        answer = await data(world, world.viewer, document, **{"q": mark.upper(), "first": 50} | given)
        assert answer["totalCount"] == len(answer["nodes"])
        return {node["name"].split()[0] for node in answer["nodes"]}

    assert await found() == {"Ada", "Bo", "Al%_"}
    assert await found(q=f"ada {mark}") == {"Ada"}
    assert await found(q="%") == {"Al%_"}
    assert await found(status="ERROR") == {"Bo"}
    assert await found(role="LEAD") == {"Ada"}
    assert await found(crew=crew.id) == {"Ada", "Bo"}
    assert await found(crew=crew.id, status="IDLE", role="AGENT") == set()
