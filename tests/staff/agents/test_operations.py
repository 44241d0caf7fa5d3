"""What operations on agents leave behind: rows, audit, events; and what is counted on them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.base import new_id
from models.people.workspaces import Role, Workspace
from models.staff.agents import Agent, AgentRole, AgentStatus
from models.staff.crews import Crew
from models.work.missions import Assignment, AssignmentStatus, Mission, MissionTask, TaskStatus
from resolvers.kernel.reader.trace import Call
from resolvers.staff import agents
from tests.world import World

pytestmark = pytest.mark.anyio


async def crew_of(world: World) -> Crew:
    crew = Crew(workspace_id=world.workspace.id, name="Crew", slug=new_id())
    await world.add(crew)
    return crew


async def agent_of(world: World, **values: Any) -> Agent:
    agent = Agent(**{"workspace_id": world.workspace.id, "name": "Agent", "slug": new_id()} | values)
    await world.add(agent)
    return agent


async def last(world: World) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The newest audit row, and the events of the newest change."""
    events = await world.database.fetch(
        "SELECT channel, type, payload FROM events WHERE xid = (SELECT max(xid) FROM events) ORDER BY seq"
    )
    audit = (await world.audit())[-1]
    kept = ("workspace_id", "user_id", "action", "entity_type", "entity_id", "data")
    return {name: audit[name] for name in kept}, [dict(event) for event in events]


async def test_a_creation_is_told(world: World) -> None:
    made = (
        await world.rest(
            world.manager, "POST", "/api/v1/agents", {"name": "Agent", "slug": "told", "cli_adapter": "OPENCODE"}
        )
    ).json()
    audit, events = await last(world)
    assert audit == {
        "workspace_id": world.workspace.id,
        "user_id": world.manager.user_id,
        "action": "create",
        "entity_type": "AGENT",
        "entity_id": made["id"],
        "data": {"name": "Agent", "slug": "told", "cli_adapter": "OPENCODE"},
    }
    payload = {"id": made["id"], "name": "Agent", "slug": "told", "status": "IDLE"}
    assert events == [{"channel": f"workspace:{world.workspace.id}", "type": "agent.created", "payload": payload}]
    creator = await world.database.fetchval("SELECT created_by_user_id FROM agents WHERE id = $1", made["id"])
    assert creator == world.manager.user_id


async def test_a_change_is_told_as_it_was_sent_without_the_servers(world: World) -> None:
    agent = await agent_of(world)
    config = '{"mcpServers": {"git": {"env": {"TOKEN": "hush"}}}}'
    sent = {
        "crew_id": "",
        "llm_provider": "OPENAI",
        "memory_enabled": True,
        "description": None,
        "schedule_enabled": True,
        "schedule_cron": "0 0 * * *",
    }
    answer = await world.rest(
        world.admin, "PATCH", f"/api/v1/agents/{agent.id}", sent | {"mcp_config_json": config, "status": "RUNNING"}
    )
    assert answer.json()["mcp_config_json"] == config
    audit, events = await last(world)
    assert (audit["action"], audit["entity_type"], audit["entity_id"]) == ("update", "AGENT", agent.id)
    assert audit["data"] == sent | {"mcp_config_json": "(not recorded)"}
    assert events == [
        {"channel": f"workspace:{world.workspace.id}", "type": "agent.updated", "payload": {"id": agent.id}}
    ]


async def test_both_agents_of_a_change_of_lead_are_told(world: World) -> None:
    crew = await crew_of(world)
    lead, agent = (
        await agent_of(world, crew_id=crew.id, agent_role=AgentRole.LEAD),
        await agent_of(world, crew_id=crew.id),
    )
    await world.rest(world.admin, "PATCH", f"/api/v1/agents/{agent.id}", {"agent_role": "LEAD"})
    _, events = await last(world)
    assert [(event["type"], event["payload"]) for event in events] == [
        ("agent.updated", {"id": lead.id}),
        ("agent.updated", {"id": agent.id}),
    ]


async def test_a_deletion_is_told_and_keeps_the_row(world: World) -> None:
    agent = await agent_of(world)
    await world.rest(world.admin, "DELETE", f"/api/v1/agents/{agent.id}")
    audit, events = await last(world)
    assert (audit["action"], audit["entity_type"], audit["entity_id"]) == ("delete", "AGENT", agent.id)
    assert events == [
        {"channel": f"workspace:{world.workspace.id}", "type": "agent.deleted", "payload": {"id": agent.id}}
    ]
    assert await world.database.fetchval("SELECT deleted_at IS NOT NULL FROM agents WHERE id = $1", agent.id)


async def test_of_leads_created_at_once_one_stays(world: World) -> None:
    crew = await crew_of(world)
    bodies = [{"name": "Agent", "slug": new_id(), "crew_id": crew.id, "agent_role": "LEAD"} for _ in range(6)]
    answers = await asyncio.gather(*[world.rest(world.owner, "POST", "/api/v1/agents", body) for body in bodies])
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
    assert {answer.json()["error"] for answer in answers if answer.status_code == 409} == {
        "The crew already has a LEAD"
    }


async def test_slugs_created_at_once_are_taken_once(world: World) -> None:
    body = {"name": "Agent", "slug": new_id()}
    answers = await asyncio.gather(*[world.rest(world.owner, "POST", "/api/v1/agents", body) for _ in range(6)])
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
    assert {answer.json()["error"] for answer in answers if answer.status_code == 409} == {
        "An agent with this slug already exists"
    }


async def test_leads_switched_at_once_leave_one_and_never_wait_for_each_other(world: World) -> None:
    crew = await crew_of(world)
    team = [await agent_of(world, crew_id=crew.id) for _ in range(6)]
    for _ in range(3):
        answers = await asyncio.gather(
            *[world.rest(world.owner, "PATCH", f"/api/v1/agents/{a.id}", {"agent_role": "LEAD"}) for a in team]
        )
        assert {answer.status_code for answer in answers} == {200}
        leads = await world.database.fetchval(
            "SELECT count(*) FROM agents WHERE crew_id = $1 AND agent_role = 'LEAD'", crew.id
        )
        assert leads == 1


async def test_counters(world: World) -> None:
    workspace = Workspace(name="Counted", slug="counted")
    await world.add(workspace)
    person = await world.person("counter", Role.VIEWER, workspace)
    path = "/api/v1/agents/crews-status"
    nothing = {"total": 0, "running": 0, "error": 0, "idle": 0, "queued": 0}
    assert (await world.rest(person, "GET", path, workspace=workspace.id)).json() == nothing
    team = [
        await agent_of(world, workspace_id=workspace.id, status=status)
        for status in (*AgentStatus, AgentStatus.RUNNING)
    ]
    await agent_of(world, workspace_id=workspace.id, status=AgentStatus.RUNNING, deleted_at=datetime.now(UTC))
    foreign = await agent_of(world, status=AgentStatus.ERROR)
    for status in (*AssignmentStatus, AssignmentStatus.QUEUED):
        await world.add(
            Assignment(
                workspace_id=workspace.id, assigned_by_id=team[0].id, assigned_to_id=team[1].id, task="t", status=status
            )
        )
    await world.add(
        Assignment(
            workspace_id=world.workspace.id,
            assigned_by_id=foreign.id,
            assigned_to_id=foreign.id,
            task="t",
            status=AssignmentStatus.QUEUED,
        )
    )
    assert (await world.rest(person, "GET", path, workspace=workspace.id)).json() == {
        "total": 6,
        "running": 2,
        "error": 1,
        "idle": 3,
        "queued": 2,
    }


async def test_load(world: World) -> None:
    workspace = Workspace(name="Loaded", slug="loaded")
    await world.add(workspace)
    person = await world.person("loader", Role.VIEWER, workspace)
    here = {"workspace_id": workspace.id}
    crew = Crew(name="Crew", slug="crew", **here)
    await world.add(crew)
    idle, busy, calm = [
        await agent_of(world, slug=slug, name=slug.title(), **here) for slug in ("idle", "busy", "calm")
    ]
    gone = await agent_of(world, slug="gone", deleted_at=datetime.now(UTC), **here)
    mission = Mission(crew_id=crew.id, lead_agent_id=busy.id, trace_id=new_id(), title="m", **here)
    await world.add(mission)

    async def task(
        agent: Agent | None, status: TaskStatus, budget: int | None = None, tokens: int | None = None, hours: float = 0
    ) -> None:
        ended = datetime.now(UTC) - timedelta(hours=hours) if hours else None
        agent_id = agent.id if agent else None
        values = {"status": status, "token_budget": budget, "token_count": tokens, "completed_at": ended}
        await world.add(MissionTask(mission_id=mission.id, assigned_agent_id=agent_id, title="t", **values, **here))

    await task(busy, TaskStatus.IN_PROGRESS, 5_000_000_000, 7)
    await task(busy, TaskStatus.IN_PROGRESS)
    await task(busy, TaskStatus.PENDING, 10)
    await task(busy, TaskStatus.BLOCKED, 100)
    await task(busy, TaskStatus.AWAITING_APPROVAL, 1000)
    await task(busy, TaskStatus.COMPLETED, 1, 30, hours=23.9)
    await task(busy, TaskStatus.COMPLETED, 1, None, hours=1)
    await task(busy, TaskStatus.COMPLETED, 1, 500, hours=24.1)
    for status in (TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED):
        await task(busy, status, 9, 9, hours=1)
    await task(calm, TaskStatus.PENDING)
    await task(gone, TaskStatus.IN_PROGRESS)
    await task(None, TaskStatus.IN_PROGRESS)

    def load(agent: Agent, active: int, pending: int, completed: int, tokens: int, budget: int) -> dict[str, Any]:
        named = {"agent_id": agent.id, "agent_name": agent.name, "agent_slug": agent.slug, "agent_status": "IDLE"}
        return named | {
            "active_tasks": active,
            "pending_tasks": pending,
            "completed_today": completed,
            "tokens_used_today": tokens,
            "token_budget": budget,
        }

    answer = await world.rest(person, "GET", "/api/v1/agent-load", workspace=workspace.id)
    assert answer.json() == [
        load(busy, 2, 2, 2, 30, 5_000_001_110),
        load(calm, 0, 1, 0, 0, 0),
        load(idle, 0, 0, 0, 0, 0),
    ]


async def test_the_list_is_read_in_the_order_of_its_index(world: World) -> None:
    """Whatever a page costs, it is not a sort of all agents."""
    agents.list_agents.plans.clear()
    await world.rest(world.owner, "GET", "/api/v1/agents")
    (plan,) = agents.list_agents.plans.values()
    arguments = plan.args(Call("", world.workspace.id, agents.ListAgents()))
    async with world.database.transaction():
        await world.database.execute("SET LOCAL enable_sort = off")
        steps = "\n".join(row[0] for row in await world.database.fetch(f"EXPLAIN {plan.sql}", *arguments))
    assert "using agents_list_idx" in steps
    assert "Sort" not in steps
