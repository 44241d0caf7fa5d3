"""Skills of agents: assigned, listed, removed, and what a run is given of them."""

from typing import Any

import pytest

from models.base import new_id
from models.resources.skills import AgentSkill
from models.staff.agents import Agent
from models.staff.crews import Crew
from tests.resources.skills.test_catalog import LIST, imported, listed, skill_md
from tests.staff.onboarding.first_runs import newcomer
from tests.world import World

pytestmark = pytest.mark.anyio


async def agent_of(world: World, **fields: Any) -> Agent:
    made = Agent(name="Ada", slug=new_id(), workspace_id=world.workspace.id, **fields)
    await world.add(made)
    return made


async def skill_of(world: World, **keys: str) -> str:
    made = await imported(world, skill_md(new_id(), **keys))
    return str(made.json()["skill_id"])


async def assign(world: World, agent: Agent, skill: Any, person: Any = None, **more: Any) -> Any:
    return await world.rest(
        person or world.manager, "POST", f"/api/v1/agents/{agent.id}/skills", {"skill_id": skill} | more
    )


async def test_a_skill_is_assigned_once(world: World) -> None:
    agent, skill = await agent_of(world), await skill_of(world)
    since = len(await world.events())
    made = await assign(world, agent, skill, config='{"k":"v"}')
    assert (made.status_code, made.json().keys()) == (201, {"id"})
    again = await assign(world, agent, skill, config="other")
    assert (again.status_code, again.json()) == (200, made.json() | {"already_assigned": True})
    told = [(event["type"], event["payload"]) for event in (await world.events())[since:]]
    assert told == [("agent.skill_assigned", {"agent_id": agent.id, "skill_id": skill})]
    [row] = (await world.rest(world.viewer, "GET", f"/api/v1/agents/{agent.id}/skills")).json()
    detail = (await world.rest(world.viewer, "GET", f"{LIST}/{skill}")).json()
    assert row == {
        "id": made.json()["id"], "agent_id": agent.id, "skill_id": skill, "enabled": True, "config": '{"k":"v"}',
        "skill": {key: detail[key] for key in row["skill"]},
    }  # fmt: skip
    assert row["skill"].keys() == {
        "id", "name", "slug", "display_name", "description", "category", "source", "icon", "version",
    }  # fmt: skip
    assert detail["agent_count"] == 1
    entries = await world.database.fetch("SELECT * FROM journal_entries WHERE agent_id = $1", agent.id)
    assert [(entry["entry_type"], entry["payload"]) for entry in entries] == [("skill.assigned", {"skill_id": skill})]


async def test_a_skill_is_removed_by_its_own_id(world: World) -> None:
    agent, skill = await agent_of(world), await skill_of(world)
    tie = (await assign(world, agent, skill)).json()["id"]
    path = f"/api/v1/agents/{agent.id}/skills"
    assert (await world.rest(world.manager, "DELETE", f"{path}/{tie}")).status_code == 404
    since = len(await world.events())
    gone = await world.rest(world.manager, "DELETE", f"{path}/{skill}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert [event["type"] for event in (await world.events())[since:]] == ["agent.skill_unassigned"]
    assert (await world.rest(world.manager, "DELETE", f"{path}/{skill}")).status_code == 404
    assert (await world.rest(world.viewer, "GET", path)).json() == []


async def test_who_is_not_there_gets_no_skill(world: World) -> None:
    agent, skill = await agent_of(world), await skill_of(world)
    stranger, place = await newcomer(world, new_id())
    before = await world.snapshot()
    for wrong in ("sk_nope", agent.id):
        assert (await assign(world, agent, wrong)).status_code == 409
    for wrong in ("", 1, None, "x" * 300, ["sk"]):
        assert (await assign(world, agent, wrong)).status_code == 400
    foreign = await world.rest(
        stranger, "POST", f"/api/v1/agents/{agent.id}/skills", {"skill_id": skill}, workspace=place.id
    )
    assert foreign.status_code == 404
    assert (await assign(world, agent, skill, world.member)).status_code == 403
    assert await world.snapshot() == before


async def test_where_a_skill_is_installed_is_told_in_its_own_workspace(world: World) -> None:
    crew = Crew(name="Engine", slug=new_id(), color="blue", icon="cog", workspace_id=world.workspace.id)
    await world.add(crew)
    agent, vendor = await agent_of(world, crew_id=crew.id, avatar_seed="s"), new_id()
    skill, off = await skill_of(world, vendor=vendor), await skill_of(world, vendor=vendor)
    await assign(world, agent, skill)
    await world.add(AgentSkill(agent_id=agent.id, skill_id=off, enabled=False, workspace_id=world.workspace.id))
    for query in ("installed=1", f"installed_for_agent_id={agent.id}"):
        [row] = await listed(world, f"vendor={vendor}&{query}")
        assert row["id"] == skill
        assert row["installed_on"] == [
            {
                "agent_id": agent.id, "agent_slug": agent.slug, "agent_name": "Ada", "avatar_seed": "s",
                "avatar_style": None, "avatar_url": None, "crew_id": crew.id, "crew_slug": crew.slug,
                "crew_name": "Engine", "crew_color": "blue", "crew_icon": "cog", "crew_avatar_style": None,
            }
        ]  # fmt: skip
    stranger, place = await newcomer(world, new_id())
    assert await listed(world, f"vendor={vendor}&installed=1", place.id, stranger) == []
    assert [row.get("installed_on") for row in await listed(world, f"vendor={vendor}", place.id, stranger)] == [
        None,
        None,
    ]
    elsewhere = await world.rest(stranger, "GET", f"{LIST}/{skill}", workspace=place.id)
    assert elsewhere.json()["agent_count"] == 0


async def test_edges_lead_from_agents_and_crews_to_skills(world: World) -> None:
    crew = Crew(name="Engine", slug=new_id(), workspace_id=world.workspace.id)
    await world.add(crew)
    agent, other, skill = await agent_of(world, crew_id=crew.id), await agent_of(world), await skill_of(world)
    await assign(world, agent, skill)
    await assign(world, other, await skill_of(world))
    answer = await world.graphql(
        world.viewer,
        "query($ws: ID, $agent: ID!, $crew: ID!) { agent(workspaceId: $ws, id: $agent)"
        " { skills { enabled skill { id agentCount } } }"
        " crew(workspaceId: $ws, id: $crew) { skills { id } } }",
        {"agent": agent.id, "crew": crew.id},
    )
    assert answer.get("errors") is None
    assert answer["data"] == {
        "agent": {"skills": [{"enabled": True, "skill": {"id": skill, "agentCount": 1}}]},
        "crew": {"skills": [{"id": skill}]},
    }


async def test_a_deletion_takes_the_skill_from_all_agents(world: World) -> None:
    agent, skill = await agent_of(world), await skill_of(world)
    await assign(world, agent, skill)
    _stranger, place = await newcomer(world, new_id())
    far = Agent(name="Xen", slug=new_id(), workspace_id=place.id)
    await world.add(far, AgentSkill(agent_id=far.id, skill_id=skill, workspace_id=place.id))
    path = f"/api/v1/workspaces/{world.workspace.id}/skills/{skill}"
    assert (await world.rest(world.admin, "DELETE", path)).status_code == 200
    assert await world.database.fetchval("SELECT count(*) FROM agent_skills WHERE skill_id = $1", skill) == 0
