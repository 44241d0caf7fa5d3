"""The roster: what agents do, by their runs and by what these wait for."""

from datetime import timedelta
from typing import Any

import pytest

from models.base import new_id
from models.oversight.keeper import KeeperDecision, KeeperRequest, KeeperRequestType
from models.people.workspaces import Membership, Role, Workspace
from models.staff.agents import Agent
from models.staff.assignments import Escalation, EscalationStatus
from models.staff.crews import Crew
from models.staff.runs import Run, RunStatus
from tests.world import World, now

pytestmark = pytest.mark.anyio
PATH = "/api/v1/presence/roster"


class Place:
    """A workspace of its own, with a crew."""

    def __init__(self, world: World, id: str, crew: Crew) -> None:
        self.world, self.id, self.crew = world, id, crew

    async def agent(self, **values: Any) -> Agent:
        agent = Agent(name="Ada", slug=new_id(), workspace_id=self.id, **values)
        await self.world.add(agent)
        return agent

    async def run(self, agent: Agent, **values: Any) -> Run:
        run = Run(agent_id=agent.id, workspace_id=self.id, **values)
        await self.world.add(run)
        return run

    async def ended(self, agent: Agent, minutes: float) -> Run:
        end = now() - timedelta(minutes=minutes)
        times = {"started_at": end - timedelta(hours=1), "finished_at": end}
        return await self.run(agent, status=RunStatus.COMPLETED, **times)

    async def roster(self, **query: Any) -> list[dict[str, Any]]:
        async with self.world.client(self.world.owner) as client:
            answer = await client.get(PATH, params={"workspace_id": self.id, **query})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["count"] == len(body["rows"])
        return list(body["rows"])

    async def status(self, agent: Agent) -> tuple[str, Any]:
        row = next(row for row in await self.roster() if row["agent_id"] == agent.id)
        return row["status"], row.get("details")


@pytest.fixture
async def place(world: World) -> Place:
    workspace = Workspace(name="Roster", slug=new_id())
    crew = Crew(name="Crew", slug="crew", workspace_id=workspace.id)
    owner = Membership(workspace_id=workspace.id, user_id=world.owner.user_id, role=Role.OWNER, accepted_at=now())
    await world.add(workspace, owner, crew)
    return Place(world, workspace.id, crew)


async def test_agents_that_never_ran_have_no_row(place: Place) -> None:
    assert await place.roster() == []
    agent = await place.agent()
    await place.run(agent)  # it waits for a worker
    assert await place.roster() == []


async def test_an_agent_is_online_for_five_minutes_after_its_last_run(place: Place) -> None:
    late, early = await place.agent(crew_id=place.crew.id), await place.agent()
    last, before = await place.ended(late, 4.5), await place.ended(early, 5.5)
    await place.ended(late, 60)
    rows = {row["agent_id"]: row for row in await place.roster()}
    assert rows[late.id] | {"since": ""} == {
        "agent_id": late.id,
        "crew_id": place.crew.id,
        "status": "online",
        "since": "",
    }
    assert last.finished_at is not None
    assert before.finished_at is not None
    assert rows[late.id]["since"] == f"{last.finished_at:%Y-%m-%dT%H:%M:%SZ}"
    assert rows[early.id] == {
        "agent_id": early.id,
        "status": "offline",
        "since": f"{before.finished_at + timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}",
        "details": {"reason": "idle_timeout"},
    }
    assert [row["agent_id"] for row in await place.roster(crew_id=place.crew.id)] == [late.id]


async def test_an_agent_is_busy_while_it_runs_and_blocked_while_that_waits(place: Place) -> None:
    agent = await place.agent(crew_id=place.crew.id)
    await place.ended(agent, 60)
    begun = now() - timedelta(minutes=2)
    run = await place.run(agent, started_at=begun)
    status, details = await place.status(agent)
    assert (status, list(details)) == ("busy", ["started_at"])
    waits = "UPDATE runs SET waits_for = $2, waits_since = now() WHERE id = $1"
    await place.world.database.execute(waits, run.id, "ap_1")
    assert await place.status(agent) == (
        "blocked",
        {"blocked_reason": "awaiting_approval", "approval_id": "ap_1"},
    )
    await place.run(agent, started_at=now())
    assert (await place.status(agent))[0] == "busy", "another run of it goes on"
    over = "UPDATE runs SET waits_for = NULL, waits_since = NULL, status = 'FAILED', finished_at = now()"
    await place.world.database.execute(f"{over} WHERE agent_id = $1", agent.id)
    assert await place.status(agent) == ("online", None)


async def test_open_questions_of_a_run_block_it(place: Place) -> None:
    agent = await place.agent(crew_id=place.crew.id)
    asked: dict[str, Any] = {"workspace_id": place.id, "crew_id": place.crew.id}
    before = now() - timedelta(hours=1)
    old = Escalation(from_agent_id=agent.id, reason="Old", created_at=before, **asked)
    await place.world.add(old)
    await place.run(agent, started_at=now() - timedelta(minutes=1))
    assert (await place.status(agent))[0] == "busy", "the question is of an earlier run"
    question = Escalation(from_agent_id=agent.id, reason="Which?", created_at=now(), **asked)
    await place.world.add(question)
    assert await place.status(agent) == ("blocked", {"blocked_reason": "awaiting_user_input"})
    answered = "UPDATE escalations SET status = 'RESOLVED', resolved_at = now() WHERE id = $1"
    await place.world.database.execute(answered, question.id)
    assert (await place.status(agent))[0] == "busy"
    wanted: dict[str, Any] = {"request_type": KeeperRequestType.access, "intent": "Deploy"}
    request = KeeperRequest(agent_id=agent.id, created_at=now(), **wanted, **asked)
    await place.world.add(request)
    assert await place.status(agent) == ("blocked", {"blocked_reason": "awaiting_keeper"})
    allowed = "UPDATE keeper_requests SET decision = $2, decided_at = now() WHERE id = $1"
    await place.world.database.execute(allowed, request.id, KeeperDecision.ALLOW)
    assert (await place.status(agent))[0] == "busy"
    assert question.status is EscalationStatus.PENDING


async def test_crews_and_workspaces_are_apart(world: World, place: Place) -> None:
    await place.ended(await place.agent(), 1)
    elsewhere = Crew(name="Other", slug=new_id(), workspace_id=world.other.id)
    await world.add(elsewhere)
    for crew_id in (elsewhere.id, "unknown"):
        async with world.client(world.owner) as client:
            answer = await client.get(PATH, params={"workspace_id": place.id, "crew_id": crew_id})
        assert answer.status_code == 404
    assert (await world.rest(world.outsider, "GET", PATH, workspace=place.id)).status_code == 403
    assert await place.roster(crew_id=place.crew.id) == []


async def test_by_graphql(world: World, place: Place) -> None:
    agent = await place.agent()
    await place.ended(agent, 1)
    document = "query($ws: ID!) { roster(workspaceId: $ws) { count rows { agentId crewId status details } } }"
    answer = await world.graphql(world.owner, document, {"ws": place.id})
    row = {"agentId": agent.id, "crewId": None, "status": "online", "details": None}
    assert answer["data"] == {"roster": {"count": 1, "rows": [row]}}
